"""Sources that are polled: how each read goes, and when the next one is.

Whatever a read raises is counted, said once, and ends there.

A poll meets files that are gone, sockets that close, libraries that raise what their
documentation does not name, and defects of ours. None of it may end the loop that polls:
what was read before stays in force, and the operator is told which part is behind, in the
log when it begins and when it ends, in ``/readyz`` and in the metrics for as long as it lasts.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.common.errors import Fault

UNEXPECTED = "unexpected"
"""The outcome's label for what is no ``Fault``: a file, a socket, a library, a defect."""
_PACKAGE = Path(__file__).parents[1]


class PollFault(Fault):
    """A poll met what its source has no name for."""

    retryable = True


def fault_of(exc: BaseException, where: str) -> Fault:
    """Return an exception as the ``Fault`` it is, or wrap it in one that says ``where``.

    The text of a foreign exception is never repeated: it may quote what was read.
    """
    if isinstance(exc, Fault):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        return fault_of(exc.exceptions[0], where)
    fault = PollFault(f"{where}: {describe(exc)}")
    fault.__cause__ = exc
    return fault


def outcome_of(fault: Fault) -> str:
    """Return a fault's label in metrics: its class, of which there are few."""
    return UNEXPECTED if isinstance(fault, PollFault) else type(fault).__name__


def describe(exc: BaseException) -> str:
    """Say what an exception is without its text: the system's words, or its class and place."""
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    frames = traceback.extract_tb(exc.__traceback__)
    ours = [each for each in frames if Path(each.filename).is_relative_to(_PACKAGE)]
    if not ours:
        return type(exc).__name__
    place = Path(ours[-1].filename).relative_to(_PACKAGE.parent)
    return f"{type(exc).__name__} in {place}:{ours[-1].lineno}"


class PollStatus:
    """How the reads of one source go.

    ``part`` is its name in ``/readyz`` and in metrics, of a closed set; ``name`` says for
    people where it reads, and ``kept`` what holds while it can't.
    """

    def __init__(
        self,
        part: str,
        name: str,
        log: logging.Logger,
        *,
        kept: str = "what was read before stays in force",
    ) -> None:
        self.part = part
        self.name = name
        self._log = log
        self._kept = kept
        self.outcomes: dict[str, int] = {}
        self.problem = ""
        """Why the last read failed; empty where it did not."""
        self.on_change: Callable[[PollStatus], None] = lambda _status: None

    @contextmanager
    def poll(self) -> Iterator[None]:
        """Run one read. Nothing but a cancellation gets out of the block."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - the poll's edge: the loop goes on
            self.failed(exc)
        else:
            self.succeeded()

    def succeeded(self) -> None:
        """Count a read that went well."""
        self._count("ok")
        if self.problem:
            self._log.info("%s is read again", self.name, extra={"state": "ok"})
        self.problem = ""
        self.on_change(self)

    def failed(self, exc: BaseException) -> Fault:
        """Count a read that failed, and say so once for each trouble; returns it as a ``Fault``."""
        fault = fault_of(exc, self.name)
        self._count(outcome_of(fault))
        before, self.problem = self.problem, str(fault)
        if self.problem != before:
            said = self.problem if self.name in self.problem else f"{self.name}: {self.problem}"
            self._log.error("%s; %s", said, self._kept, extra={"state": "outage"})
        self.on_change(self)
        return fault

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


class PollLoop:
    """When a source is read again: after a pause, or at once when somebody asks. One at a time.

    ``read`` counts what it meets itself (``PollStatus``) and does not raise; ``pause_seconds``
    is asked before each wait, so that it may depend on what was read. ``sleep`` is a test's, or
    ``asyncio.sleep``.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[object]],
        pause_seconds: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read = read
        self._pause_seconds = pause_seconds
        self._sleep = sleep
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()

    def refresh_soon(self) -> None:
        """Have the loop read at once; returns at once."""
        self._asked.set()

    async def refresh(self) -> None:
        """Read now. Whoever comes while a read is under way has the next one."""
        async with self._turn:
            await self._read()

    async def run(self) -> None:
        """Wait and read, until cancelled."""
        while True:
            await self._wait()
            self._asked.clear()
            await self.refresh()

    async def _wait(self) -> None:
        """Sleep for the pause, or until somebody asks."""
        pause = asyncio.ensure_future(self._sleep(self._pause_seconds()))
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait((pause, asked), return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                pause.result()  # what a sleep raises is the loop's end
        finally:
            pause.cancel()
            asked.cancel()
