"""A recorded request as the server's steps read one: its credential is as long as it was."""

from sidecar.authz.credential import (
    AUTHORIZATION,
    COOKIE,
    COOKIE_PREFIX,
    HEADER,
    PROTOCOLS,
    WEBSOCKET,
)
from sidecar.authz.decision import RequestView
from sidecar.common.reasons import Reason
from sidecar.observability.audit.inputs import NO_INPUTS
from sidecar.replay.known import CredentialState, Known
from sidecar.replay.line import RecordedLine

_MAX_SIZE = 70_000
"""A token larger than any limit that can be configured."""
_WITH_TOKEN = frozenset(
    {CredentialState.VERIFIED, CredentialState.FAILED, CredentialState.AMBIGUOUS}
)


def view_of(line: RecordedLine, known: Known) -> RequestView:
    """Return what a Check would have been of the request that a line is of."""
    inputs = NO_INPUTS if known.inputs is None else known.inputs
    headers: dict[str, bytes] = {}
    if known.credential in _WITH_TOKEN and (known.has_claims or inputs.place):
        token = b"x" * min(max(inputs.size, 1), _MAX_SIZE)
        headers.update(_placed(inputs.place or HEADER, token, is_dpop=bool(inputs.dpop)))
    elif known.credential is CredentialState.OTHER_SCHEME:
        headers[AUTHORIZATION] = b"DPoP x" if "DPoP" in line.detail else b"Basic x"
    if inputs.announced:
        headers["origin"] = inputs.origin.encode("utf-8", "replace")
        headers["access-control-request-method"] = inputs.announced.encode("utf-8", "replace")
    query = b"?access_token=x" if _has_token_in_query(line, known) else b""
    return RequestView(
        line.method.encode("utf-8", "replace"),
        line.host.encode("utf-8", "replace"),
        line.path.encode("utf-8", "replace") + query,
        headers,
        line.source,
        line.principal,
    )


def _has_token_in_query(line: RecordedLine, known: Known) -> bool:
    if known.inputs is not None:
        return known.inputs.in_query
    return known.reason is Reason.TOKEN_MISSING and "the query has one" in line.detail


def _placed(place: str, token: bytes, *, is_dpop: bool) -> dict[str, bytes]:
    if place == HEADER:
        return {AUTHORIZATION: (b"DPoP " if is_dpop else b"Bearer ") + token}
    if place == WEBSOCKET:
        return {PROTOCOLS: b"bearer." + token}
    name = place.removeprefix(COOKIE_PREFIX).encode("utf-8", "replace")
    return {COOKIE: name + b"=" + token}
