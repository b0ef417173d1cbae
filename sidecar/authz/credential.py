"""Where a request's access token is: exactly one, from where the route looks for it.

- ``header``: ``Authorization: Bearer <token>`` (RFC 6750 §2.1);
- ``cookie:<name>``: a cookie of that name (RFC 6265 §5.4);
- ``websocket``: an entry ``bearer.<token>`` of ``Sec-WebSocket-Protocol``, because a
  browser can set no other header of a WebSocket's handshake (RFC 6455 §11.3.4).

Never the query: it is in logs, histories and ``Referer``. Two credentials are denied,
from one place or from two: whoever judges one must not pass on another.
"""

import re
from collections.abc import Mapping, Sequence

from sidecar.errors import Denied
from sidecar.reasons import Reason

HEADER = "header"
WEBSOCKET = "websocket"
COOKIE_PREFIX = "cookie:"
_PROTOCOL_PREFIX = b"bearer."
_SCHEME = b"bearer"
_COOKIE_SPLIT = re.compile(rb"[;,]")


def find_token(
    headers: Mapping[str, bytes], places: Sequence[str], max_token_bytes: int
) -> bytes | None:
    """Return the one token, or ``None`` if there is none; raises ``Denied``."""
    found: bytes | None = None
    for place in places:
        token = _read(headers, place, max_token_bytes)
        if token is None:
            continue
        if found is not None:
            raise Denied(Reason.TOKEN_AMBIGUOUS, "credentials came from more than one place")
        found = token
    return found


def _read(headers: Mapping[str, bytes], place: str, max_token_bytes: int) -> bytes | None:
    if place == HEADER:
        credential = headers.get("authorization")
        return None if credential is None else read_bearer(credential, max_token_bytes)
    if place == WEBSOCKET:
        entries = headers.get("sec-websocket-protocol", b"").split(b",")
        tokens = [
            entry.strip()[len(_PROTOCOL_PREFIX) :]
            for entry in entries
            if entry.strip().startswith(_PROTOCOL_PREFIX)
        ]
    else:
        wanted = place.removeprefix(COOKIE_PREFIX).encode("ascii") + b"="
        pairs = (pair.strip() for pair in _COOKIE_SPLIT.split(headers.get("cookie", b"")))
        tokens = [pair[len(wanted) :].strip(b'"') for pair in pairs if pair.startswith(wanted)]
    if len(tokens) > 1:
        raise Denied(Reason.TOKEN_AMBIGUOUS, f"more than one credential in {place}")
    return _bounded(tokens[0], max_token_bytes) if tokens else None


def read_bearer(credential: bytes, max_token_bytes: int) -> bytes:
    """Return the token of an ``Authorization`` header's value.

    Raises ``Denied``: a comma means several headers or several credentials (neither a
    scheme nor a token may hold one), another scheme is not ours to judge, and the size
    is bounded here already so that nothing larger is copied.
    """
    scheme, _, token = credential.strip(b" \t").partition(b" ")
    _bounded(token, max_token_bytes)
    if b"," in credential:
        raise Denied(Reason.TOKEN_AMBIGUOUS, "more than one credential was sent")
    if scheme.lower() != _SCHEME:
        raise Denied(Reason.TOKEN_SCHEME_UNSUPPORTED, "the scheme is not Bearer")
    return token.lstrip(b" ")


def _bounded(token: bytes, max_token_bytes: int) -> bytes:
    if len(token) > max_token_bytes:
        raise Denied(Reason.TOKEN_TOO_LARGE, f"{len(token)} bytes, the limit is {max_token_bytes}")
    return token
