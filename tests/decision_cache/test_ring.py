"""Rings: every line reaches the sink, none twice, and what is no line ends it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision_cache.memory import make_ring
from sidecar.decision_cache.ring import SLICE_BYTES, Ring, RingFault
from sidecar.observability.audit.entry import AuditLine
from tests.support.module_peer import PeerRing

RING_ID = b"0123456789ab"


class Sink:
    """An audit log that takes ``room`` lines and writes when it is told."""

    def __init__(self, room: int = 1_000_000, sample: bool = False) -> None:
        self.lines: list[bytes] = []
        self.lines_in = self.settled = 0
        self.room = room
        self.samples = sample

    def record_lines(self, lines: Sequence[bytes]) -> int:
        taken = lines[: self.room]
        self.room -= len(taken)
        self.lines += taken
        self.lines_in += len(taken)
        return len(taken)

    def sampled(self, decision_id: str) -> bool:
        return not self.samples or int(decision_id[-1], 16) % 2 == 0

    def write(self) -> None:
        self.settled = self.lines_in


class Both:
    """A ring from both its ends."""

    def __init__(self, sink: Sink | None = None, size: int = 65_536) -> None:
        self.sink = sink or Sink()
        self.counted: list[AuditLine] = []
        memory = make_ring(RING_ID, size)
        self.peer = PeerRing(memory.descriptor)
        self.ring = Ring(memory, RING_ID, self.sink, {"api"}, self.counted.extend)

    def drain(self) -> None:
        while self.ring.drain():
            pass


def test_lines_arrive_as_they_were_written_and_are_counted() -> None:
    both = Both()
    lines = [both.peer.line(latency_us=n, warnings=["x"] if n else []) for n in range(5)]
    both.peer.write(b"".join(lines))
    both.drain()
    assert both.sink.lines == lines
    assert [line.latency_us for line in both.counted] == [0, 1, 2, 3, 4]
    both.drain()
    assert len(both.sink.lines) == 5


def test_space_is_given_back_once_the_lines_are_written() -> None:
    both = Both()
    line = both.peer.line()
    both.peer.write(line)
    for _ in range(2):
        both.drain()
        assert (both.peer.tail, both.ring.is_empty) == (0, False)
    assert both.ring.fill == pytest.approx(len(line) / 65_536)
    both.sink.write()
    both.drain()
    assert (both.peer.tail, both.ring.is_empty, both.ring.fill) == (len(line), True, 0.0)


@given(sizes=st.lists(st.integers(0, 900), max_size=200), room=st.integers(0, 7))
def test_nothing_is_lost_or_doubled_whatever_wraps_and_waits(sizes: list[int], room: int) -> None:
    both = Both(Sink(room))
    written = []
    for size in sizes:
        line = both.peer.line(detail="x" * size)
        while both.peer.head + len(line) - both.peer.tail > both.peer.bytes:
            both.sink.room += 5
            both.sink.write()
            both.drain()
        both.peer.write(line)
        written.append(line)
        both.drain()
    both.sink.room = 1000
    both.drain()
    both.sink.write()
    both.drain()
    assert both.sink.lines == written
    assert both.ring.is_empty
    assert len(both.counted) == len(written)


def test_a_full_sink_leaves_the_rest_in_the_ring() -> None:
    both = Both(Sink(room=2))
    lines = [both.peer.line() for _ in range(4)]
    both.peer.write(b"".join(lines))
    assert not both.ring.drain()
    assert (both.sink.lines, len(both.counted)) == (lines[:2], 2)
    both.sink.room = 9
    both.drain()
    assert both.sink.lines == lines


def test_of_a_sample_all_are_counted_and_some_recorded() -> None:
    both = Both(Sink(sample=True))
    lines = [both.peer.line() for _ in range(8)]
    both.peer.write(b"".join(lines))
    both.drain()
    assert len(both.counted) == 8
    assert both.sink.lines == lines[1::2]
    both.sink.write()
    both.drain()
    assert both.ring.is_empty


def test_a_full_sink_takes_of_a_sample_what_fits() -> None:
    both = Both(Sink(room=2, sample=True))
    lines = [both.peer.line() for _ in range(9)]
    both.peer.write(b"".join(lines))
    assert not both.ring.drain()
    assert (both.sink.lines, len(both.counted)) == (lines[1:4:2], 5)
    both.sink.room = 9
    both.drain()
    assert (both.sink.lines, len(both.counted)) == (lines[1::2], 9)


def test_one_turn_is_bounded() -> None:
    both = Both(size=1 << 20)
    while both.peer.head < 3 * SLICE_BYTES:
        both.peer.write(both.peer.line(detail="x" * 700))
    assert both.ring.drain()
    assert sum(map(len, both.sink.lines)) <= SLICE_BYTES


LIES: dict[str, Any] = {
    "no JSON": b"what\n",
    "another field": {"password": "x"},
    "a denial": {"outcome": "deny", "reason": "token_expired", "status": 401},
    "another reason": {"reason": "public"},
    "another status": {"status": 204},
    "an unknown route": {"route": "everything"},
    "another ring's id": {"decision_id": "f" * 20},
    "no end": b"x" * 5000,
    "a longer line than any": {"detail": "x" * 4200},
    "two lines in one": {"detail": "a\r\nb", "raw": True},
    "a terminal's escape": {"detail": "\x7f", "raw": True},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_line_of_it_ends_it_after_what_was_right(lie: str) -> None:
    both = Both()
    good = both.peer.line()
    both.peer.write(good)
    both.drain()
    bad = LIES[lie]
    if isinstance(bad, dict):
        changes = {name: value for name, value in bad.items() if name != "raw"}
        line = json.loads(both.peer.line()) | changes
        bad = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if "raw" in LIES[lie]:
            bad = bad.replace(b"\\r\\n", b"\r\n")
    both.peer.write(bad)
    with pytest.raises(RingFault):
        both.drain()
    assert both.sink.lines == [good]


@pytest.mark.parametrize("head", [2**64 - 1, 65_537, 1 << 40])
def test_an_impossible_head_ends_it(head: int) -> None:
    both = Both()
    both.peer.words[8] = head
    with pytest.raises(RingFault):
        both.ring.drain()
    assert 0.0 <= both.ring.fill <= 1.0


def test_what_was_read_is_not_read_again_by_a_head_that_is_too_far() -> None:
    both = Both()
    bare = len(both.peer.line(detail=""))
    for _ in range(256):
        both.peer.write(both.peer.line(detail="x" * (256 - bare)))
    both.drain()
    both.sink.write()
    both.drain()
    assert (len(both.sink.lines), both.ring.is_empty) == (256, True)
    both.peer.words[8] += 65_536 + 256
    with pytest.raises(RingFault):
        both.ring.drain()
    assert len(both.sink.lines) == 256


def test_a_head_that_goes_back_ends_it() -> None:
    both = Both()
    both.peer.write(both.peer.line())
    both.drain()
    both.peer.words[8] = 3
    with pytest.raises(RingFault):
        both.ring.drain()


def test_its_tail_is_ours_whoever_writes_there() -> None:
    both = Both()
    both.peer.write(both.peer.line())
    both.peer.words[16] = 40_000
    both.drain()
    assert len(both.sink.lines) == 1


def test_counts_are_the_modules() -> None:
    both = Both()
    both.peer.count(0, 12)
    both.peer.count(26, 3)
    assert (both.ring.counts[0], both.ring.counts[26], len(both.ring.counts)) == (12, 3, 64)
