"""What a worker logs, as the main process gets it."""

import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from sidecar.runtime.workers import log_channel
from sidecar.runtime.workers.channel import Channel, open_channel
from sidecar.runtime.workers.frames import MAX_TEXT, FromWorker, LogLine
from sidecar.runtime.workers.framing import MAX_FROM_WORKER_BYTES, FrameReader
from sidecar.runtime.workers.log_channel import ChannelHandler
from sidecar.runtime.workers.watch import LOG_LINES_BURST
from tests.support.waiting import until


class Main:
    """The main process's end, and a logger at the worker's."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        reader = FrameReader(FromWorker, MAX_FROM_WORKER_BYTES)
        self.end = Channel(reader, self.lines.append, lambda _exc: None)
        self.worker = Channel(reader, self.lines.append, lambda _exc: None)
        self.log = logging.getLogger("tests.worker")


@pytest.fixture
async def main() -> AsyncIterator[Main]:
    running = Main()
    for channel, end in zip((running.end, running.worker), socket.socketpair(), strict=True):
        await open_channel(end, channel)
    running.log.handlers[:] = [ChannelHandler(running.worker)]
    running.log.setLevel(1)
    running.log.propagate = False
    yield running
    running.log.handlers.clear()
    running.worker.abort()
    running.end.abort()


def with_traceback(log: logging.Logger) -> None:
    try:
        int("x")
    except ValueError:
        log.exception("it failed")


LOGGED: list[tuple[Callable[[logging.Logger], None], int, str]] = [
    (lambda log: log.warning("%d of %d", 1, 2), logging.WARNING, "1 of 2"),
    (lambda log: log.log(35, "between"), logging.WARNING, "between"),
    (lambda log: log.log(5, "below"), logging.DEBUG, "below"),
    (lambda log: log.log(90, "above"), logging.CRITICAL, "above"),
    (lambda log: log.info("x" * (MAX_TEXT + 1)), logging.INFO, "x" * MAX_TEXT),
]


@pytest.mark.parametrize(
    ("log", "level", "message"), LOGGED, ids=["text", "35", "5", "90", "too long"]
)
async def test_a_record_is_a_line_of_a_known_level(
    main: Main, log: Callable[[logging.Logger], None], level: int, message: str
) -> None:
    log(main.log)
    await until(lambda: main.lines)
    assert main.lines == [LogLine(level, message)]  # type: ignore[arg-type]


async def test_a_traceback_comes_with_it(main: Main) -> None:
    with_traceback(main.log)
    await until(lambda: main.lines)
    assert main.lines[0].message.startswith("it failed: Traceback")
    assert main.lines[0].message.endswith("base 10: 'x'\n")


async def test_another_thread_may_log(main: Main) -> None:
    thread = threading.Thread(target=main.log.error, args=("from a thread",))
    thread.start()
    thread.join()
    await until(lambda: main.lines)
    assert main.lines == [LogLine(40, "from a thread")]


async def test_no_more_is_sent_than_the_main_process_permits(
    main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_channel, "monotonic_seconds", lambda: 0.0)
    main.log.handlers[:] = [ChannelHandler(main.worker)]
    for number in range(int(LOG_LINES_BURST)):
        main.log.error("line %d", number)
    main.worker.send(LogLine(40, "the end"))
    await until(lambda: len(main.lines) > LOG_LINES_BURST / 2)
    assert len(main.lines) == LOG_LINES_BURST / 2 + 1
