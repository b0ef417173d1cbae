"""What a worker writes: cut into lines, in slices, at a rate, as there is room for them."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from sidecar.runtime.workers import output
from sidecar.runtime.workers.frames import MAX_TEXT
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.output import BYTES_BURST, MAX_LINE_BYTES, AuditPipe, ErrorPipe
from tests.runtime.workers.lines import LINE, line


class Transport:
    """Whether it is read from."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...


class Queue:
    """Takes lines while there is room."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.taken: list[bytes] = []
        self.raising = False

    def record_lines(self, lines: Sequence[bytes]) -> int:
        if self.raising:
            raise ValueError("a defect")
        taken = list(lines[: self.room])
        self.room -= len(taken)
        self.taken += taken
        return len(taken)


class Piped:
    """A pipe, what it gives on, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue = Queue()
        self.breaches: list[Exception] = []
        self.transport = Transport()
        self.pipe = AuditPipe(self.queue, self.breaches.append, lambda: self.now)
        self.pipe.connection_made(cast("Any", self.transport))

    async def settle(self) -> None:
        async with asyncio.timeout(20):
            while not self.transport.reading:
                await asyncio.sleep(0.001)


async def test_lines_come_whole_however_they_are_cut() -> None:
    piped = Piped()
    lines = [line(number) for number in range(2000)]
    whole = b"".join(lines)
    for start in range(0, len(whole), 777):
        await piped.settle()
        piped.pipe.data_received(whole[start : start + 777])
    await piped.settle()
    assert piped.queue.taken == lines
    assert piped.pipe.close() == 0


async def test_while_the_queue_is_full_nothing_more_is_read() -> None:
    piped = Piped()
    piped.queue.room = 1
    first, second, third = line(1), line(2), line(3)
    piped.pipe.data_received(first + second + third[:9])
    assert not piped.transport.reading
    await asyncio.sleep(3 * output.PAUSE_SECONDS)
    assert piped.queue.taken == [first]
    assert not piped.transport.reading
    piped.queue.room = 9
    await piped.settle()
    piped.pipe.data_received(third[9:])
    assert piped.queue.taken == [first, second, third]
    piped.queue.room = 0
    piped.pipe.data_received(LINE + LINE + LINE[:9])
    assert piped.pipe.close() == 3, "two without room and a torn one"


async def test_a_slice_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_SLICE_LINES", 10)
    piped = Piped()
    piped.pipe.data_received(LINE * 100)
    before = len(piped.queue.taken)
    assert before == 10
    while len(piped.queue.taken) < 100:
        await asyncio.sleep(0)
        assert len(piped.queue.taken) - before <= 10
        before = len(piped.queue.taken)
    await piped.settle()


async def test_more_than_may_come_in_a_second_waits() -> None:
    piped = Piped()
    long = line(padding=MAX_LINE_BYTES - 256)
    for _ in range(int(BYTES_BURST) // len(long) + 10):
        if piped.transport.reading:
            piped.pipe.data_received(long)
    assert not piped.transport.reading
    taken = len(piped.queue.taken)
    assert taken * len(long) <= BYTES_BURST
    await asyncio.sleep(3 * output.PAUSE_SECONDS)
    assert len(piped.queue.taken) == taken
    piped.now += 1.0
    await piped.settle()
    assert len(piped.queue.taken) == taken + 1
    assert piped.breaches == []


async def test_many_short_lines_cost_more_than_their_bytes() -> None:
    piped = Piped()
    for _ in range(1000):
        if piped.transport.reading:
            piped.pipe.data_received(LINE * 512)
    assert not piped.transport.reading
    assert len(piped.queue.taken) < 70_000


BREACHES = [
    ("a line too long", b"{" + b"x" * MAX_LINE_BYTES + b"}\n", "its output has a line"),
    ("a line that does not end", b"{" + b"x" * (MAX_LINE_BYTES + 1), "its output has a line"),
    ("an empty line", b"\n", "no audit line"),
    ("no object", b"hello\n", "no audit line"),
    ("half an object", LINE[:-2] + b"\n", "no audit line"),
    ("braces, and no JSON between", b"{x}\n", "no audit line"),
    ("an object of others", b"{}\n", "no audit line"),
    ("a field of its own", LINE[:-2] + b',"x":1}\n', "no audit line"),
    ("a field of another type", LINE.replace(b":401", b':"401"'), "no audit line"),
    ("what a terminal obeys", LINE.replace(b'"api"', b'"\xc2\x9b2J"'), "no audit line"),
    ("no UTF-8", LINE.replace(b'"api"', b'"\xff"'), "no audit line"),
    ("nested without end", b"[" * 60_000 + b"\n", "no audit line"),
]


@pytest.mark.parametrize(("data", "why"), [b[1:] for b in BREACHES], ids=[b[0] for b in BREACHES])
async def test_what_is_no_audit_line_is_a_breach(data: bytes, why: str) -> None:
    piped = Piped()
    piped.pipe.data_received(LINE + data)
    assert len(piped.breaches) == 1, "at once, not when the line ends"
    piped.pipe.data_received(LINE)
    await asyncio.sleep(0.01)
    assert [type(each) for each in piped.breaches] == [FrameFault]
    assert why in str(piped.breaches[0])
    assert len(piped.queue.taken) <= 1
    assert piped.pipe.close() == 0


async def test_a_defect_of_the_queue_ends_the_pipe_and_is_reported() -> None:
    piped = Piped()
    piped.queue.raising = True
    piped.pipe.data_received(LINE)
    assert [type(each) for each in piped.breaches] == [ValueError]


async def test_errors_come_line_by_line_and_are_cut() -> None:
    said: list[bytes] = []
    breaches: list[Exception] = []

    def take(line: bytes) -> None:
        if len(said) >= 4:
            raise FrameFault("too many")
        said.append(line)

    pipe = ErrorPipe(take, breaches.append)
    pipe.connection_made(cast("Any", Transport()))
    pipe.data_received(b"one\ntw")
    pipe.data_received(b"o\n" + b"x" * (MAX_TEXT + 100))
    pipe.data_received(b"last")
    pipe.connection_lost(None)
    assert said == [b"one", b"two", b"x" * MAX_TEXT, b"last"]
    pipe.data_received(b"more\nand more\n")
    pipe.data_received(b"and more\n")
    assert [str(each) for each in breaches] == ["too many"]
