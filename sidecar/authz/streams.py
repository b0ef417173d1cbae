"""How long a stream may last: no longer than the token that let it in.

A Check is asked once, when a request begins. A websocket, server-sent events or a streaming
call go on after it, and nobody asks again. What ends them is Envoy's ``max_stream_duration``;
Envoy 1.40 takes it from the request header ``grpc-timeout``, of any request, where a route
has ``grpc_timeout_header_max`` and is chosen again after the Check (``clear_route_cache``).
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
"""Eight digits are all that the header may have."""

TIMEOUT_HEADER = "grpc-timeout"


def parse_timeout(raw: bytes) -> int | None:
    """Return a ``grpc-timeout`` in milliseconds, rounded down; ``None`` if it is none.

    Source: the gRPC protocol over HTTP/2, "Requests": at most eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(raw)
    return None if match is None else int(match[1]) * _NANOSECONDS[match[2]] // 1_000_000


def stream_milliseconds(ends_at: float, now: float, asked: bytes) -> int:
    """Return how long a stream may last from ``now`` on (Unix seconds): a millisecond at least.

    Until the token's end, or until the deadline that the client itself ``asked`` for in
    ``grpc-timeout``, if that is sooner.
    """
    left = int((ends_at - now) * 1000)
    wanted = parse_timeout(asked) if asked else None
    return max(1, left if wanted is None else min(left, wanted))


def format_timeout(milliseconds: int) -> str:
    """Return a ``grpc-timeout`` that is not longer: in milliseconds, or in whole seconds."""
    if milliseconds <= _MOST:
        return f"{milliseconds}m"
    return f"{min(milliseconds // 1000, _MOST)}S"
