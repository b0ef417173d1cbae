"""How long a stream may last: no longer than the token that it was allowed with.

Envoy sends one Check when a request begins. A websocket, server-sent events or a streaming call
continue without another Check. Envoy's ``max_stream_duration`` ends them; Envoy 1.40 reads it
from the request header ``grpc-timeout``, of any request, where a route has
``grpc_timeout_header_max`` and is selected again after the Check (``clear_route_cache``).
"""

import re

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_NANOSECONDS = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}
_MOST = 99_999_999
"""The header's value has at most eight digits."""

TIMEOUT_HEADER = "grpc-timeout"


def parse_timeout(raw: bytes) -> int | None:
    """Return a ``grpc-timeout`` in milliseconds, rounded down; ``None`` if it is malformed.

    Source: the gRPC protocol over HTTP/2, "Requests": at most eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(raw)
    return None if match is None else int(match[1]) * _NANOSECONDS[match[2]] // 1_000_000


def stream_milliseconds(ends_at: float, now: float, client_timeout: bytes) -> int:
    """Return how long a stream may last from ``now`` on (Unix seconds): at least a millisecond.

    Until the token expires at ``ends_at``, or until the client's own deadline in
    ``client_timeout`` (a ``grpc-timeout`` or empty), whichever is sooner.
    """
    left = int((ends_at - now) * 1000)
    requested = parse_timeout(client_timeout) if client_timeout else None
    return max(1, left if requested is None else min(left, requested))


def format_timeout(milliseconds: int) -> str:
    """Return a ``grpc-timeout`` of at most this length: in milliseconds, or whole seconds."""
    if milliseconds <= _MOST:
        return f"{milliseconds}m"
    return f"{min(milliseconds // 1000, _MOST)}S"
