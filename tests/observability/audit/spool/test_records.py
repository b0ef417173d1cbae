"""What stands in a segment: sealed in its order, and nothing else opens."""

import os

import msgspec
import pytest

from sidecar.observability.audit.spool.records import (
    PREAMBLE_BYTES,
    RECORD_HEADER_BYTES,
    DamagedError,
    KeyReference,
    RecordHeader,
    SegmentCipher,
    SegmentHeader,
    begin_segment,
    read_preamble,
    read_record_header,
)

KEY = bytes(range(32))
HEADER = SegmentHeader(KeyReference(wrapped="vault:v1:abc"), bytes(32), 700)
LINES = b'{"decision_id":"d1"}\n{"decision_id":"d2"}\n'


def sealed(number: int = 0) -> tuple[SegmentCipher, RecordHeader, bytes]:
    _, cipher = begin_segment(KEY, HEADER)
    record = cipher.seal(number, 700, 5, LINES, 2)
    head = read_record_header(record[:RECORD_HEADER_BYTES])
    assert head is not None
    return cipher, head, record[RECORD_HEADER_BYTES:]


def test_what_was_sealed_opens_in_its_place() -> None:
    cipher, head, record = sealed(3)
    assert head == (len(record), 2, 700, 5)
    assert head.end == 702
    assert cipher.open(3, head, record) == LINES
    assert LINES not in record


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_record_that_was_moved_does_not_open(number: int) -> None:
    cipher, head, record = sealed(3)
    with pytest.raises(DamagedError):
        cipher.open(number, head, record)


@pytest.mark.parametrize(
    "change", [{"lines": 3}, {"first": 699}, {"at_ms": 6}], ids=["lines", "first", "time"]
)
def test_a_header_that_was_altered_opens_no_record(change: dict[str, int]) -> None:
    cipher, head, record = sealed()
    with pytest.raises(DamagedError):
        cipher.open(0, head._replace(**change), record)


def test_a_record_opens_under_its_own_segments_header_alone() -> None:
    _, head, record = sealed()
    for header in (
        msgspec.structs.replace(HEADER, first=701),
        msgspec.structs.replace(HEADER, salt=b"\x01" * 32),
        msgspec.structs.replace(HEADER, key=KeyReference(wrapped="vault:v1:other")),
    ):
        _, other = begin_segment(KEY, header)
        with pytest.raises(DamagedError):
            other.open(0, head, record)


def test_two_segments_never_seal_alike() -> None:
    """Of one data key: were a salt used twice, so would be a nonce."""
    headers = [SegmentHeader(HEADER.key, os.urandom(32), 700) for _ in range(2)]
    records = {begin_segment(KEY, each)[1].seal(0, 700, 5, LINES, 2) for each in headers}
    assert len(records) == 2


def test_a_preamble_tells_its_segment_and_its_key() -> None:
    beginning, _ = begin_segment(KEY, HEADER)
    preamble = read_preamble(beginning + b"whatever follows")
    assert preamble.header == HEADER
    assert preamble.size == len(beginning) <= PREAMBLE_BYTES
    SegmentCipher(KEY, preamble.header, preamble.text).check_header(preamble.seal, 700)
    with pytest.raises(DamagedError, match="another segment"):
        SegmentCipher(KEY, preamble.header, preamble.text).check_header(preamble.seal, 701)
    with pytest.raises(DamagedError, match="another key"):
        SegmentCipher(bytes(32), preamble.header, preamble.text).check_header(preamble.seal, 700)


GOOD = begin_segment(KEY, HEADER)[0]
NO_PREAMBLES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("another file", b"SEPTEMSPOOL2\n" + GOOD[13:]),
    ("cut in its length", GOOD[:15]),
    ("cut in its header", GOOD[:40]),
    ("cut in its seal", GOOD[:-1]),
    ("a length of 4 GB", GOOD[:13] + b"\xff\xff\xff\xff" + GOOD[17:]),
    ("a header that is no JSON", GOOD[:17] + b"]" + GOOD[18:]),
    ("a salt of one byte", begin_segment(KEY, SegmentHeader(HEADER.key, b"x", 1))[0]),
    ("a number below zero", begin_segment(KEY, SegmentHeader(HEADER.key, bytes(32), -1))[0]),
]


@pytest.mark.parametrize("text", [row[1] for row in NO_PREAMBLES], ids=[r[0] for r in NO_PREAMBLES])
def test_what_is_no_beginning_of_a_segment(text: bytes) -> None:
    with pytest.raises(DamagedError):
        read_preamble(text)


@pytest.mark.parametrize(
    "head",
    [b"", bytes(RECORD_HEADER_BYTES), b"\xff" * RECORD_HEADER_BYTES,
     (20).to_bytes(4, "big") + (70_000).to_bytes(4, "big") + bytes(16)],
    ids=["nothing", "zeros", "too long", "too many lines"],
)  # fmt: skip
def test_what_is_no_header_of_a_record(head: bytes) -> None:
    assert read_record_header(head) is None
