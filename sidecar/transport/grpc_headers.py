"""The headers of unary gRPC: a request's are checked, an answer's and an error's are made.

After "gRPC over HTTP2" (grpc/doc/PROTOCOL-HTTP2.md).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from sidecar.transport.grpc_status import GrpcStatus

Headers = tuple[tuple[bytes, bytes], ...]
_POST = b"POST"
_CONTENT_TYPE = b"application/grpc"
_HTTP_METHOD_NOT_ALLOWED = b"405"
_HTTP_UNSUPPORTED_MEDIA_TYPE = b"415"
OK_HEADERS: Headers = ((b":status", b"200"), (b"content-type", _CONTENT_TYPE))
OK_TRAILERS: Headers = ((b"grpc-status", b"0"),)
_TIMEOUT_UNITS = {
    ord("H"): 3600.0, ord("M"): 60.0, ord("S"): 1.0, ord("m"): 1e-3, ord("u"): 1e-6, ord("n"): 1e-9,
}  # fmt: skip
_MAX_TIMEOUT_DIGITS = 8


CarryTrace = Callable[[bytes, bytes], bytes]
"""Makes of a call's ``traceparent`` and ``tracestate`` what is appended to its message."""
_TRACEPARENT, _TRACESTATE = b"traceparent", b"tracestate"
MAX_TRACEPARENT, MAX_TRACESTATE = 256, 512


class CallHeaders(NamedTuple):
    """The headers of a valid request, and what they say."""

    headers: Headers
    path: bytes
    timeout: float | None
    """Seconds."""
    traceparent_at: int
    """Where the only ``traceparent`` stands; -1 if there is none, or several."""
    tracestate: bytes

    def is_like(self, headers: Headers) -> bool:
        """Return whether other headers say the same, but for which span the call belongs to."""
        if headers == self.headers:
            return True
        at = self.traceparent_at
        return (
            at >= 0
            and len(headers) == len(self.headers)
            and headers[at][0] == _TRACEPARENT
            and len(headers[at][1]) <= MAX_TRACEPARENT
            and headers[at + 1 :] == self.headers[at + 1 :]
            and headers[:at] == self.headers[:at]
        )


NO_CALL = CallHeaders((), b"", None, -1, b"")
NO_TRACES: Mapping[bytes, CarryTrace] = {}


class CallRefusedError(Exception):
    """A request that is answered without calling its handler."""

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        self.headers = headers


def read_request_headers(headers: Headers, paths: frozenset[bytes]) -> CallHeaders:
    """Return what the headers of a valid request say; raise ``CallRefusedError`` for any other."""
    fields: Mapping[bytes, bytes] = dict(headers)
    if fields.get(b":method") != _POST:
        raise CallRefusedError(((b":status", _HTTP_METHOD_NOT_ALLOWED), (b"allow", _POST)))
    kind = fields.get(b"content-type", b"")
    if kind != _CONTENT_TYPE and not kind.startswith((b"application/grpc+", b"application/grpc;")):
        raise CallRefusedError(((b":status", _HTTP_UNSUPPORTED_MEDIA_TYPE),))
    path = fields.get(b":path", b"")
    if path not in paths:
        raise CallRefusedError(
            error_headers(GrpcStatus.UNIMPLEMENTED, "there is no such method here")
        )
    timeout = read_timeout(fields.get(b"grpc-timeout"))
    return CallHeaders(headers, path, timeout, *read_trace(headers))


def read_trace(headers: Headers) -> tuple[int, bytes]:
    """Return where the only ``traceparent`` stands, or -1, and the whole ``tracestate``."""
    places = [at for at, (name, _) in enumerate(headers) if name == _TRACEPARENT]
    if len(places) != 1 or len(headers[places[0]][1]) > MAX_TRACEPARENT:
        return -1, b""
    tracestate = b",".join(value for name, value in headers if name == _TRACESTATE)
    return places[0], tracestate if len(tracestate) <= MAX_TRACESTATE else b""


def read_timeout(raw: bytes | None) -> float | None:
    """Read ``grpc-timeout``: one to eight digits and a unit."""
    if raw is None:
        return None
    digits, unit = raw[:-1], raw[-1:]
    if not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS or unit[0] not in _TIMEOUT_UNITS:
        raise CallRefusedError(
            error_headers(GrpcStatus.INVALID_ARGUMENT, "grpc-timeout is malformed")
        )
    return int(digits) * _TIMEOUT_UNITS[unit[0]]


def error_headers(status: GrpcStatus, message: str) -> Headers:
    """Return a trailers-only answer; the message is percent-encoded, as the protocol requires."""
    return (
        *OK_HEADERS,
        (b"grpc-status", b"%d" % status),
        (b"grpc-message", quote(message, safe=" !#$&'()*+,/:;=?@[]").encode("ascii")),
        *((b"grpc-accept-encoding", b"identity"),) * (status is GrpcStatus.UNIMPLEMENTED),
    )
