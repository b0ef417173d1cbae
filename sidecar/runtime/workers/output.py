"""Reads a worker's standard output and standard error, within bounds.

Its output is audit lines, its error the messages of an interpreter that ends. Both come from a
process that may be compromised: the buffers are bounded, the event loop is never blocked, and
output that no correct worker writes ends the worker.
"""

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from sidecar.common.token_bucket import TokenBucket
from sidecar.observability.audit.entry import is_line
from sidecar.runtime.workers.frames import MAX_TEXT
from sidecar.runtime.workers.framing import FrameFault

MAX_LINE_BYTES = 65_536
"""Several times the longest audit line: every field of one is cut."""
LINE_BYTES = 512
"""What a line costs in addition to its bytes: many short lines take time too."""
BYTES_PER_SECOND, BYTES_BURST = 33_554_432.0, 33_554_432.0
PAUSE_SECONDS = 0.02
MAX_SLICE_LINES = 512


class LineQueue(Protocol):
    """A queue of audit lines; ``AuditLog`` is one."""

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue as many whole lines as fit; return how many were queued."""


class _OutputPipe(asyncio.Protocol):
    """A worker's pipe until its end, or until ``on_breach`` was called for what came through it."""

    def __init__(self, on_breach: Callable[[Exception], None]) -> None:
        self.ended = False
        self._on_breach = on_breach
        self._breached = False
        self._transport: asyncio.ReadTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio)."""
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio)."""
        if not self._breached:
            self._process(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Handle the end (asyncio)."""
        self.ended = True

    @abstractmethod
    def _process(self, data: bytes) -> None: ...

    def _breach(self, exc: Exception) -> None:
        self._breached = True
        self._on_breach(exc)


class AuditPipe(_OutputPipe):
    """A worker's output: split into whole lines, which are queued while the queue has space.

    While the queue is full, or the rate limit is exceeded, nothing is read: the worker's own
    queue fills, drops and counts. ``on_breach`` is called for output that is not an audit line.
    """

    def __init__(
        self,
        queue: LineQueue,
        on_breach: Callable[[Exception], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(on_breach)
        self._queue = queue
        self._clock = clock
        self._bucket = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, clock())
        self._unread = b""
        """Bytes that are not split yet: one read, and the beginning of a line."""
        self._whole: list[bytes] = []
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None

    def _process(self, data: bytes) -> None:
        self._unread += data
        self._continue()

    def close(self) -> int:
        """Close; return how many lines are lost: those that do not fit, and an incomplete one."""
        self._transport.close()
        self._stop_timer()
        with contextlib.suppress(FrameFault):
            while self._enqueue() and b"\n" in self._unread:
                self._cut()
        torn = self._unread != b"" and not self._unread.endswith(b"\n")
        lost = len(self._whole) + self._unread.count(b"\n") + torn
        self._whole, self._unread = [], b""
        return lost

    def _continue(self) -> None:
        """Queue the next slice, and schedule another if needed. Never raises: a timer calls it."""
        self._stop_timer()
        try:
            pause = self._take_slice()
        except Exception as exc:  # noqa: BLE001 - the pipe's edge
            self._whole, self._unread = [], b""
            self._breach(exc)
            return
        if self._transport.is_closing():
            return
        if pause is not None:
            if not self._paused:
                self._paused = True
                self._transport.pause_reading()
            self._timer = asyncio.get_running_loop().call_later(pause, self._continue)
        elif self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _take_slice(self) -> float | None:
        """Queue one slice; return the delay of the next in seconds, ``None`` for no more."""
        if not self._whole:
            size = len(self._unread)
            if size and not self._bucket.take(self._clock(), self._cost()):
                return PAUSE_SECONDS
            self._cut()
        if not self._enqueue():
            return PAUSE_SECONDS
        return 0.0 if b"\n" in self._unread else None

    def _cost(self) -> float:
        """Return the cost of the next slice: its bytes, and ``LINE_BYTES`` for each line."""
        lines = min(self._unread.count(b"\n"), MAX_SLICE_LINES)
        whole = self._unread.count(b"\n") == lines
        size = len(self._unread) if whole else lines * len(self._unread) / self._unread.count(b"\n")
        return size + lines * LINE_BYTES

    def _cut(self) -> None:
        """Split the next slice of lines off the unread bytes. Raises ``FrameFault``."""
        *lines, self._unread = self._unread.split(b"\n", MAX_SLICE_LINES)
        if any(len(line) > MAX_LINE_BYTES for line in lines):
            raise FrameFault(f"its output has a line of over {MAX_LINE_BYTES} bytes")
        if b"\n" not in self._unread and len(self._unread) > MAX_LINE_BYTES:
            raise FrameFault("its output has a line that is too long")
        if not all(map(is_line, lines)):
            raise FrameFault("its output has a line that is no audit line")
        self._whole = [line + b"\n" for line in lines]

    def _enqueue(self) -> bool:
        """Queue as many lines as fit; return False while some remain."""
        del self._whole[: self._queue.record_lines(self._whole)]
        return not self._whole

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ErrorPipe(_OutputPipe):
    """A worker's standard error, line by line to ``on_line``, which may raise a ``Fault``."""

    def __init__(
        self, on_line: Callable[[bytes], None], on_breach: Callable[[Exception], None]
    ) -> None:
        super().__init__(on_breach)
        self._on_line = on_line
        self._rest = b""

    def _process(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_TEXT:
            lines.append(self._rest)
            self._rest = b""
        self._emit_lines(lines)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end, and the line before it (asyncio)."""
        super().connection_lost(exc)
        if self._rest and not self._breached:
            self._emit_lines([self._rest])

    def close(self) -> None:
        """Stop reading."""
        self._transport.close()

    def _emit_lines(self, lines: Sequence[bytes]) -> None:
        try:
            for line in lines:
                self._on_line(line[:MAX_TEXT])
        except Exception as exc:  # noqa: BLE001 - the pipe's edge
            self._breach(exc)
