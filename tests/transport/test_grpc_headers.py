"""What the headers of a request must be, and what those of an error are."""

import pytest

from sidecar.transport.grpc_headers import (
    CallRefusedError,
    Headers,
    error_headers,
    read_request_headers,
    read_timeout,
)
from sidecar.transport.grpc_status import GrpcStatus

PATH = b"/pkg.Service/Method"
PATHS = frozenset({PATH})


def request(**changes: bytes | None) -> Headers:
    """Return a valid request's headers, with some changed or left out."""
    fields = {"method": b"POST", "path": PATH, "kind": b"application/grpc", **changes}
    names = {"method": b":method", "path": b":path", "kind": b"content-type"}
    return tuple(
        (names.get(name, b"grpc-timeout"), value)
        for name, value in fields.items()
        if value is not None
    )


@pytest.mark.parametrize(
    ("headers", "timeout"),
    [
        (request(), None),
        (request(kind=b"application/grpc+proto"), None),
        (request(kind=b"application/grpc;charset=utf-8"), None),
        (request(timeout=b"7S"), 7.0),
    ],
)
def test_a_valid_request(headers: Headers, timeout: float | None) -> None:
    assert read_request_headers(headers, PATHS) == (headers, PATH, timeout, -1, b"")


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        (request(method=b"GET"), b":status", b"405"),
        (request(method=b"post"), b":status", b"405"),
        (request(method=None), b":status", b"405"),
        (request(kind=b"application/grpcx"), b":status", b"415"),
        (request(kind=b"application/json"), b":status", b"415"),
        (request(kind=None), b":status", b"415"),
        (request(path=b"/pkg.Service/method"), b"grpc-status", b"12"),
        (request(path=None), b"grpc-status", b"12"),
        (request(timeout=b""), b"grpc-status", b"3"),
    ],
)
def test_a_refused_request(headers: Headers, name: bytes, value: bytes) -> None:
    with pytest.raises(CallRefusedError) as refused:
        read_request_headers(headers, PATHS)
    assert dict(refused.value.headers)[name] == value


def test_a_wrong_method_is_told_the_allowed_one() -> None:
    with pytest.raises(CallRefusedError) as refused:
        read_request_headers(request(method=b"PUT"), PATHS)
    assert (b"allow", b"POST") in refused.value.headers


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (None, None),
        (b"0S", 0),
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"500m", 0.5),
        (b"9u", 9e-6),
        (b"4n", 4e-9),
        (b"99999999S", 99_999_999),
    ],
)
def test_timeouts(raw: bytes | None, seconds: float | None) -> None:
    assert read_timeout(raw) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "raw", [b"", b"S", b"1", b"1s", b"-1S", b"1.5S", b" 1S", b"1S ", b"123456789S", b"\xd9\xa1S"]
)
def test_what_is_no_timeout(raw: bytes) -> None:
    with pytest.raises(CallRefusedError):
        read_timeout(raw)


def test_an_error_is_percent_encoded_and_says_what_encoding_is_accepted() -> None:
    assert error_headers(GrpcStatus.INTERNAL, "50% häufiger")[2:] == (
        (b"grpc-status", b"13"),
        (b"grpc-message", b"50%25 h%C3%A4ufiger"),
    )
    assert error_headers(GrpcStatus.UNIMPLEMENTED, "x")[-1] == (
        b"grpc-accept-encoding",
        b"identity",
    )
