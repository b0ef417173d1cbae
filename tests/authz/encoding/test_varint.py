"""Lengths as protobuf encodes them."""

import pytest

from sidecar.authz.encoding.varint import varint

VARINTS = [
    ("nothing", 0, b"\x00"),
    ("the last of one byte", 127, b"\x7f"),
    ("the first of two", 128, b"\x80\x01"),
    ("the last of two", 16_383, b"\xff\x7f"),
    ("the first of three", 16_384, b"\x80\x80\x01"),
    ("protobuf's own example", 150, b"\x96\x01"),
]


@pytest.mark.parametrize(
    ("value", "encoded"), [row[1:] for row in VARINTS], ids=[row[0] for row in VARINTS]
)
def test_varints(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded
