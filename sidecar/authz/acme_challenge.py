"""The one path that is answered before any route: ACME's http-01 challenge (RFC 8555 §8.3).

A CA asks the edge for a token and must be told the key authorization. The Check does it, as
a refusal with status 200, so the ordinary edge proves names and needs no server for it. Only
tokens of orders in flight are answered, on the host they are for, to GET; everything else
goes the way of every request.
"""

from collections.abc import Awaitable
from typing import Protocol

from sidecar.authz.decision import Decision, RequestView
from sidecar.authz.response_cache import CHALLENGE_PREFIX
from sidecar.common.canonical import canonical_host
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant

CHALLENGE_ROUTE = "acme-challenge"
_MAX_TOKEN_BYTES = 128


class PendingChallenge(Protocol):
    """A challenge in flight; ``sidecar.certificates.challenges.http01.Challenge`` is one."""

    @property
    def host(self) -> str:
        """The only host it is for."""

    @property
    def answer(self) -> str:
        """The key authorization."""


Found = PendingChallenge | None


class ChallengeSource(Protocol):
    """Where challenges are; ``sidecar.certificates.challenges.http01.DistributedSolver`` is one."""

    def find(self, token: str) -> PendingChallenge | Awaitable[Found] | None:
        """Return the challenge, ``None``, or what tells when the fleet was asked."""


class ChallengePending(Exception):  # noqa: N818 - neither a refusal nor an error
    """Whether there is such a challenge is known when ``found`` is."""

    def __init__(self, found: Awaitable[Found]) -> None:
        self.found = found


def find_challenge(view: RequestView, source: ChallengeSource) -> Found:
    """Find the challenge that a request under the prefix asks for; raises ``ChallengePending``."""
    token = view.path[len(CHALLENGE_PREFIX) :]
    if view.method != b"GET" or len(token) > _MAX_TOKEN_BYTES or not token.isascii():
        return None
    found = source.find(token.decode("ascii"))
    if isinstance(found, Awaitable):
        raise ChallengePending(found)
    return found


def challenge_decision(view: RequestView, found: Found) -> Decision | None:
    """Return the decision that answers; ``None`` where nothing is found, or another host's."""
    if found is None:
        return None
    try:
        host = canonical_host(view.host)
    except Denied:
        return None
    if host != found.host:
        return None
    return Decision(
        Grant.CHALLENGE_ANSWERED,
        route=CHALLENGE_ROUTE,
        method="GET",
        host=host,
        path=view.path.decode("ascii"),
    )
