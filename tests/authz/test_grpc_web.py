"""The frame of trailers, as a reader of the protocol's page takes it apart."""

import base64
import struct

import pytest

from sidecar.authz.grpc_web import LONGEST_BLOCK, as_text, trailer_block
from sidecar.common.reasons import ANSWERS, GRPC_CODES


def read_frame(frame: bytes) -> bytes:
    flags, length = struct.unpack(">BI", frame[:5])
    assert flags == 0x80
    assert length == len(frame) - 5
    return frame[5:]


@pytest.mark.parametrize("status", sorted({answer.status for answer in ANSWERS.values()}))
def test_a_frame_says_the_code_and_the_message(status: int) -> None:
    code = GRPC_CODES[status].value
    block = trailer_block(code, "denied: why")
    expected = f"grpc-status: {code}\r\ngrpc-message: denied: why\r\n".encode()
    assert read_frame(b"\x80\0\0\0" + block.encode()) == expected
    assert read_frame(base64.b64decode(as_text(block))) == expected


LONGEST = LONGEST_BLOCK - len("grpc-status: 7\r\ngrpc-message: \r\n")


@pytest.mark.parametrize("message", ["é", "a\r\nb", "50%", "m" * (LONGEST + 1)])
def test_what_would_be_read_otherwise_is_not_written(message: str) -> None:
    with pytest.raises(ValueError, match="gRPC"):
        trailer_block(7, message)


def test_the_longest() -> None:
    assert ord(trailer_block(7, "m" * LONGEST)[0]) == LONGEST_BLOCK
