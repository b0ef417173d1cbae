"""The one path that is answered before any route: ACME's http-01 challenge (RFC 8555 §8.3).

A CA requests a token from the edge and expects the key authorization. The Check answers it, as
a denial with status 200, so the ordinary edge validates names and needs no server for it. Only
tokens of orders in flight are answered, on the host they are for, to GET; every other request
is evaluated as usual.
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
    """A challenge in flight; ``certificates.challenges.challenge_list.Challenge`` is one."""

    @property
    def host(self) -> str:
        """The only host on which it is answered."""

    @property
    def answer(self) -> str:
        """The key authorization."""


Found = PendingChallenge | None


class ChallengeSource(Protocol):
    """Finds challenges; ``certificates.challenges.distributed_solver`` has an implementation."""

    def find(self, token: str) -> PendingChallenge | Awaitable[Found] | None:
        """Return the challenge, ``None``, or an awaitable of the fleet's reply."""


class ChallengePending(Exception):
    """The fleet is being asked for the challenge; ``found`` is its reply."""

    def __init__(self, found: Awaitable[Found]) -> None:
        self.found = found


def find_challenge(view: RequestView, source: ChallengeSource) -> Found:
    """Return the challenge that a request under the prefix asks for; raise ``ChallengePending``."""
    token = view.path[len(CHALLENGE_PREFIX) :]
    if view.method != b"GET" or len(token) > _MAX_TOKEN_BYTES or not token.isascii():
        return None
    found = source.find(token.decode("ascii"))
    if isinstance(found, Awaitable):
        raise ChallengePending(found)
    return found


def challenge_decision(view: RequestView, found: Found) -> Decision | None:
    """Return the decision that answers; ``None`` for no challenge, or one of another host."""
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
