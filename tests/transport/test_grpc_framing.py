"""What a whole request's body must be."""

import pytest

from sidecar.transport.grpc_framing import read_message
from sidecar.transport.grpc_status import GrpcStatus, RpcError

MAX_BYTES = 4


@pytest.mark.parametrize("message", [b"", b"a", b"abcd"])
def test_a_message_is_returned_without_its_prefix(message: bytes) -> None:
    assert read_message(b"\0\0\0\0" + bytes([len(message)]) + message, MAX_BYTES) == message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", GrpcStatus.INVALID_ARGUMENT),
        (b"\0\0\0\0", GrpcStatus.INVALID_ARGUMENT),
        (b"\0\0\0\0\2a", GrpcStatus.INVALID_ARGUMENT),
        (b"\0\0\0\0\1ab", GrpcStatus.INVALID_ARGUMENT),
        (b"\1\0\0\0\1a", GrpcStatus.UNIMPLEMENTED),
        (b"\0\0\0\0\5abcde", GrpcStatus.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", GrpcStatus.RESOURCE_EXHAUSTED),
    ],
    ids=["empty", "half a prefix", "too short", "too long", "compressed", "too large", "claims"],
)
def test_anything_else_has_a_status(body: bytes, status: GrpcStatus) -> None:
    with pytest.raises(RpcError) as error:
        read_message(body, MAX_BYTES)
    assert error.value.status is status
