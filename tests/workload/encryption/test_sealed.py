"""The format of a sealed value, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.encryption.sealed import (
    MAX_VALUE_BYTES,
    OVERHEAD_BYTES,
    header_of,
    key_version,
    read_sealed,
)

WRITER = bytes(range(16))
SEALED = header_of(258, WRITER) + b"n" * 12 + b"body" + b"t" * 16


def test_every_byte_has_its_place() -> None:
    assert SEALED[:5] == b"\x01\x00\x00\x01\x02"
    parts = read_sealed(SEALED)
    assert parts is not None
    assert parts == (258, WRITER, SEALED[:21], b"n" * 12, b"body" + b"t" * 16)
    assert key_version(memoryview(SEALED)) == 258
    assert len(SEALED) == OVERHEAD_BYTES + 4


@pytest.mark.parametrize(
    "sealed",
    [
        None,
        "text",
        b"",
        SEALED[: OVERHEAD_BYTES - 1],
        b"\x00" + SEALED[1:],
        b"\x02" + SEALED[1:],
        b"\x01\x00\x00\x00\x00" + SEALED[5:],
        b"\x01\x80\x00\x00\x00" + SEALED[5:],
        SEALED + b"x" * MAX_VALUE_BYTES,
    ],
    ids=["null", "text", "empty", "short", "format 0", "format 2", "version 0", "huge", "long"],
)
def test_what_is_no_sealed_value(sealed: object) -> None:
    assert read_sealed(sealed) is None
    assert key_version(sealed) is None


@given(st.binary(max_size=80))
def test_what_is_read_is_what_was_there(raw: bytes) -> None:
    parts = read_sealed(raw)
    assert parts is None or parts.header + parts.nonce + parts.body == raw
