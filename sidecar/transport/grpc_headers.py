"""The headers of unary gRPC: a request's are checked, an answer's and an error's are made.

After "gRPC over HTTP2" (grpc/doc/PROTOCOL-HTTP2.md).
"""

from collections.abc import Mapping
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


class CallRefusedError(Exception):
    """A request that is answered without calling its handler."""

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        self.headers = headers


def read_request_headers(headers: Headers, paths: frozenset[bytes]) -> tuple[bytes, float | None]:
    """Return the path and the time-out in seconds of a valid request.

    Raises ``CallRefusedError`` for any other.
    """
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
    return path, read_timeout(fields.get(b"grpc-timeout"))


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
