"""Sources that are polled: how each read goes, and when the next one is.

Whatever a read raises is counted, said once, and ends there.

A poll meets missing files, closed sockets, undocumented exceptions of libraries, and bugs. None
of them may end the polling loop: the last good value stays in force, and the operator sees which
source is behind, in the log when it begins and when it ends, in ``/readyz`` and in the metrics
for as long as it lasts.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.common.clock import Now, wall_seconds
from sidecar.common.errors import Fault

UNEXPECTED = "unexpected"
"""The outcome's label for any exception but a ``Fault``."""
_PACKAGE = Path(__file__).parents[1]


class PollFault(Fault):
    """A poll failed with an exception that is not a ``Fault``."""

    retryable = True
    remedy = (
        "If the words do not say what to mend: it may be a bug in the sidecar; the log has more."
    )


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
    """Describe an exception without its text: the system's message, or its class and line."""
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    frames = traceback.extract_tb(exc.__traceback__)
    own_frames = [each for each in frames if Path(each.filename).is_relative_to(_PACKAGE)]
    if not own_frames:
        return type(exc).__name__
    place = Path(own_frames[-1].filename).relative_to(_PACKAGE.parent)
    return f"{type(exc).__name__} in {place}:{own_frames[-1].lineno}"


class PollStatus:
    """The status of one polled source.

    ``part`` is its name in ``/readyz`` and in metrics, of a closed set; ``name`` is the location
    for operators, and ``kept`` says what stays in force while it can't be read.
    """

    def __init__(
        self,
        part: str,
        name: str,
        log: logging.Logger,
        *,
        kept: str = "what was read before stays in force",
        now: Now = wall_seconds,
    ) -> None:
        self.part = part
        self.name = name
        self._log = log
        self.kept = kept
        self._now = now
        self.outcomes: dict[str, int] = {}
        self.problem = ""
        """Why the last read failed; empty if it succeeded."""
        self.fault: Fault | None = None
        """What the last read failed with."""
        self.read_at: float | None = None
        """When it was last read (Unix seconds)."""
        self.failing_since: float | None = None
        """When the first read failed since the last that did not (Unix seconds)."""
        self.outages_in_a_row = 0
        """How many reads failed since the last one that did not, because nobody answered."""
        self.asked_seconds = 0.0
        """How long whoever refused the last read asked us to wait."""
        self.on_change: Callable[[PollStatus], None] = lambda _status: None

    @contextmanager
    def poll(self) -> Iterator[None]:
        """Run one read. No exception but a cancellation leaves the block."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - the poll's edge: the loop goes on
            self.failed(exc)
        else:
            self.succeeded()

    def succeeded(self) -> None:
        """Count a successful read."""
        self._count("ok")
        if self.problem:
            self._log.info("%s can be read again", self.name, extra={"state": "ok"})
        self.problem, self.fault = "", None
        self.read_at, self.failing_since = self._now(), None
        self.outages_in_a_row, self.asked_seconds = 0, 0.0
        self.on_change(self)

    def failed(self, exc: BaseException) -> Fault:
        """Count a failed read, and log each problem once; return it as a ``Fault``."""
        fault = fault_of(exc, self.name)
        self._count(outcome_of(fault))
        self.outages_in_a_row = self.outages_in_a_row + 1 if fault.is_outage else 0
        self.asked_seconds = fault.retry_after_seconds or 0.0
        before, self.problem, self.fault = self.problem, str(fault), fault
        if self.failing_since is None:
            self.failing_since = self._now()
        if self.problem != before:
            said = self.problem if self.name in self.problem else f"{self.name}: {self.problem}"
            self._log.error("%s; %s", said, self.kept, extra={"state": "outage"})
        self.on_change(self)
        return fault

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


class ChangePoll:
    """One poll of a source whose changes somebody acts on.

    ``read`` returns whether what it read is new, and may raise; ``on_change`` acts on it. A
    change that ``on_change`` failed to act on is pending, and is handed to it with the next
    poll, whether that reads anything new or not.
    """

    def __init__(
        self,
        status: PollStatus,
        read: Callable[[], Awaitable[bool]],
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self._status = status
        self._read = read
        self._on_change = on_change
        self._pending = False

    async def __call__(self) -> None:
        """Read, and hand on a change. No exception but a cancellation leaves it."""
        with self._status.poll():
            self._pending = await self._read() or self._pending
            if self._pending:
                await self._on_change()
                self._pending = False


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
