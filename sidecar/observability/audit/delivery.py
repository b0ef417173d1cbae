"""The thread of one sink: it writes what its source has, and tries again what failed.

Each sink has a thread and a queue of its own, so one that hangs holds up no other. What a sink
refuses for good is counted and passed over; everything else is tried again, with growing pauses,
for as long as it takes.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sidecar.common.clock import Now
from sidecar.common.polling import describe
from sidecar.observability.audit.intake import Batch
from sidecar.observability.audit.sinks import LinesRefusedError, PartialWriteError, Sink
from workload.backoff import Backoff

_POLL_SECONDS = 0.1
_BACKOFF = Backoff(first_seconds=0.5, max_seconds=30.0)
_UNEXPECTED_TRIES = 3

_log = logging.getLogger("sidecar.observability.audit")


class LineSource(Protocol):
    """Where a sink's lines come from: an ``Intake``, or a ``SpoolReader``."""

    @property
    def waiting(self) -> int:
        """The lines that are not done with."""

    def take(self, max_lines: int, max_bytes: int) -> Batch | None:
        """Return the next batch, which stays until it is ``done``. Raises ``OSError``."""

    def done(self, batch: Batch) -> None:
        """Let go of a batch."""

    def close(self) -> None:
        """Close what is open for reading."""


class BatchBounds(NamedTuple):
    """How much is written at once, and how long is waited until that much is there."""

    lines: int = 512
    bytes: int = 1_048_576
    seconds: float = 0.0


class Left(NamedTuple):
    """What one delivery leaves to the next."""

    counts: tuple[int, int, int]
    source: LineSource | None
    batch: Batch | None
    taken: int


class Delivery:
    """A sink, its thread, and what became of its lines. ``find_source`` may not have one yet."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        find_source: Callable[[], LineSource | None],
        *,
        bounds: BatchBounds,
        clock: Now,
        jitter: Callable[[], float],
    ) -> None:
        self.name = name
        self.delivered = self.refused = self.errors = 0
        self.problem = ""
        """Why the last attempt failed; empty after one that did not."""
        self.source: LineSource | None = None
        self._find_source = find_source
        self._sink = sink
        self._bounds = bounds
        self._clock = clock
        self._jitter = jitter
        self._batch: Batch | None = None
        self._taken = 0
        self._failures = 0
        self._reopen = False
        self._stopped_at = self._finish_by = float("inf")
        self._successor: Delivery | None = None
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"audit-{name}", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def has_died(self) -> bool:
        """Whether the thread has ended, and was not to."""
        ended = self._thread.ident is not None and not self._thread.is_alive()
        return ended and not self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """The lines that the sink has not got."""
        return 0 if self.source is None else self.source.waiting

    def reopen(self) -> None:
        """Reopen a file before the next write."""
        self._reopen = True

    def stop(self, flush_seconds: float, *, grace_seconds: float = 0.0) -> None:
        """End, once what waits is written, or after ``flush_seconds``; does not wait for that.

        Within the grace lines may still come.
        """
        now = self._clock()
        self._stopped_at, self._finish_by = now + grace_seconds, now + flush_seconds
        self._stopping.set()

    def hand_over(self, successor: "Delivery") -> None:
        """Let another delivery go on, with what is left, once this one's attempt has ended."""
        self._successor = successor
        self.stop(0.0)

    def join(self, timeout_seconds: float) -> bool:
        """Return whether it has ended; also one that waits for another's end before it begins."""
        return self._ended.wait(timeout_seconds)

    def _run(self) -> None:
        try:
            while not self._is_over():
                try:
                    self._step()
                except Exception as exc:  # noqa: BLE001 - the thread's edge: it goes on
                    self._failed(exc)
                    self._stopping.wait(_BACKOFF.pause_seconds(self._failures, self._jitter()))
            self._close()
        finally:
            self._ended.set()

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._sink.close()
        if self._successor is not None:
            # A line that was written in part comes whole to the other.
            taken = self._batch.lines.rfind(b"\n", 0, self._taken) + 1 if self._batch else 0
            counts = self.delivered, self.refused, self.errors
            self._successor.take_over(Left(counts, self.source, self._batch, taken))
        elif self.source is not None:
            self.source.close()

    def take_over(self, before: "Left") -> None:
        """Go on where another has ended, and count on."""
        self.delivered, self.refused, self.errors = before.counts
        self.source, self._batch, self._taken = before.source, before.batch, before.taken
        self.start()

    def _is_over(self) -> bool:
        now = self._clock()
        if not self._stopping.is_set() or now < self._stopped_at:
            return False
        has_more = self._batch is not None or self.waiting > 0
        return not has_more or self._failures > 0 or now >= self._finish_by

    def _step(self) -> None:
        """Write one batch, or the rest of one, if there is any."""
        if self._reopen:
            self._reopen = False
            # The new file begins with a whole line; the old one keeps the incomplete one.
            self._taken = self._batch.lines.rfind(b"\n", 0, self._taken) + 1 if self._batch else 0
            self._sink.reopen()
        if self.source is None:
            self.source = self._find_source()
        if self._batch is None:
            self._batch, self._taken = self._next_batch(), 0
        if self._batch is None:
            self._stopping.wait(_POLL_SECONDS)
            return
        refused = 0
        try:
            self._sink.write(self._batch.lines[self._taken :])
        except PartialWriteError as cut:
            self._taken += cut.taken
            raise
        except LinesRefusedError as lost:
            refused = lost.lines
            _log.error("%s: %s", self.name, lost)
        self._done(refused)

    def _next_batch(self) -> Batch | None:
        source, bounds = self.source, self._bounds
        if source is None or not source.waiting:
            return None
        until = self._clock() + bounds.seconds
        while source.waiting < bounds.lines and self._clock() < until:
            if self._stopping.wait(min(_POLL_SECONDS, bounds.seconds)):
                break
        return source.take(bounds.lines, bounds.bytes)

    def _done(self, refused: int) -> None:
        batch, self._batch = self._batch, None
        assert batch is not None and self.source is not None  # noqa: S101, PT018 - it was written
        self.source.done(batch)
        self.refused += refused
        self.delivered += batch.line_count - refused
        if self._failures:
            _log.info("audit lines are written to %s again", self.name)
        self._failures = 0
        self.problem = ""

    def _failed(self, exc: Exception) -> None:
        self.errors += 1
        self._failures += 1
        problem = describe(exc)
        if problem != self.problem:
            _log.error("audit lines can't be written to %s: %s", self.name, problem)
        self.problem = problem
        if not isinstance(exc, OSError) and self._failures >= _UNEXPECTED_TRIES and self._batch:
            _log.error("internal error (a bug in the sidecar): audit lines are lost", exc_info=exc)
            self._done(self._batch.line_count)
