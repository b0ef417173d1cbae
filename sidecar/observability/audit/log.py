"""The queue in front of the sink, so that no Check ever waits for one (SECURITY-MODEL §10).

Encoded lines go into a bounded queue; a thread of its own writes them, because writing to a
pipe that nobody reads, or to a failed disk, blocks. Besides, it only does what must be done in
the order of the lines (``trail``): Checks wait for whatever it does under the interpreter lock.
The queue is bounded in lines and in
bytes; when it is full a line is dropped and counted, and the count is a metric.

Longer than other files: queue, thread and counters are one state, which two threads share.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sidecar.common.clock import Now, wall_seconds
from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.sinks import LinesRefusedError, PartialWriteError, Sink

if TYPE_CHECKING:  # a worker's lines are chained by the main process: it need not load how
    from sidecar.observability.audit.refusals import RecentRefusals
    from sidecar.observability.audit.trail import Trail

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_BATCH_LINES = 512
_BATCH_BYTES = 1_048_576
QUEUE_BYTES = 67_108_864
"""The default limit of the queue."""
_UNEXPECTED_TRIES = 3

_log = logging.getLogger(__name__)


class AuditLog:
    """The queue and its thread. ``record`` and ``append`` never wait or raise."""

    def __init__(
        self,
        sink: Sink,
        *,
        queue_lines: int,
        queue_bytes: int = QUEUE_BYTES,
        on_error: Callable[[OSError], None],
        sample_allowed: float = 1.0,
        trail: "Trail | None" = None,
        refusals: "RecentRefusals | None" = None,
        now: Now = wall_seconds,
        unsettled: Callable[[], int] = lambda: 0,
    ) -> None:
        """``refusals`` keeps the lines of denied requests, also those that the sink never takes."""
        self._refusals = refusals
        self.where = ""
        """Where the sink writes, for people."""
        self._now = now
        self.problem = ""
        """Why the sink did not take the last batch; empty if it did."""
        self.failing_since: float | None = None
        """When it refused the first batch since the last that it took (Unix seconds)."""
        self.written = 0
        self._refused = 0
        self._lost = 0
        self._given_up = 0
        self._unexpected = 0
        self.errors = 0
        self._sink = sink
        self._next_sink: tuple[Sink, Callable[[], None]] | None = None
        self.trail = trail
        self.dropped_before = 0
        self.queued_before = 0
        self._queue: deque[bytes] = deque()
        self._lines: list[bytes] = []
        """The lines of a batch, as they came out of the queue."""
        self._pending = b""
        """What is written for them."""
        self._taken = 0
        self._own_lines = 0
        """How many line ends of the rest of it are not of lines of the queue."""
        # Each counter is written by one thread only: a shared one would need a lock.
        self.lines_in = self.lines_out = 0
        self._bytes_in = self._bytes_out = 0
        self._queue_lines = queue_lines
        self._queue_bytes = queue_bytes
        self._on_error = on_error
        self._unsettled = unsettled
        self.sample_allowed = sample_allowed
        """The share of allowed decisions that is recorded, 0 to 1; a reload may set it."""
        self._wake = threading.Event()
        self._closing = False
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """The lines that were dropped from a full queue, or could not be written.

        ``dropped_before`` of them were lost in the processes whose lines are queued here.
        """
        return self._refused + self._lost + self._given_up + self.dropped_before

    @property
    def settled(self) -> int:
        """How many of the ``lines_in`` lines, from the first on, need not be kept elsewhere.

        They are written, and safe where the sink has queues of its own (``unsettled`` returns how
        many in those are not), or given up for good.
        """
        return self.written + self._given_up - self._unsettled()

    @property
    def queued(self) -> int:
        """Lines that wait to be written, ``queued_before`` of them in other processes."""
        return len(self._queue) + self.queued_before

    def record(self, entry: AuditEntry) -> None:
        """Queue one entry, or count it as dropped. Of allowed ones only the sample is queued."""
        if entry.outcome == "allow" and not self.sampled(entry.decision_id):
            return
        kept = self._refusals if entry.outcome == "deny" else None
        if self._is_full() and kept is None:
            self._refused += 1
            return
        try:
            line = encode_entry(entry)
        except Exception as exc:  # noqa: BLE001 - one bad entry must not end the log
            self._lost += 1
            name = type(exc).__name__
            _log.error("the audit entry %s can't be written: %s", entry.decision_id, name)
            return
        if kept is not None:
            kept.take(line)
        self.append(line)

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue as many lines of another process as fit; return how many were queued.

        The others stay in the other process, whose own queue fills and counts.
        """
        taken = self._queue_lines_of(lines)
        if self._refusals is not None:
            self._refusals.take_denied(lines[:taken])
        return taken

    def _queue_lines_of(self, lines: Sequence[bytes]) -> int:
        size = sum(map(len, lines))
        if (
            len(self._queue) + len(lines) <= self._queue_lines
            and self._bytes_in - self._bytes_out + size <= self._queue_bytes
        ):
            self._queue.extend(lines)
            self.lines_in += len(lines)
            self._bytes_in += size
            return len(lines)
        for number, line in enumerate(lines):
            if self._is_full():
                return number
            self._put(line)
        return len(lines)

    def append(self, line: bytes) -> None:
        """Queue one encoded line, or count it as dropped."""
        if self._is_full():
            self._refused += 1
        else:
            self._put(line)

    def count_lost(self, lines: int) -> None:
        """Count lines that could not be encoded."""
        self._refused += lines

    def share(self, parts: int) -> "AuditShare":
        """Return one of so many equal parts of the queue, for one process that sends lines."""
        return AuditShare(self, parts)

    @property
    def is_writing(self) -> bool:
        """Whether the writing thread is alive."""
        return self._thread.is_alive()

    def _is_full(self) -> bool:
        return (
            len(self._queue) >= self._queue_lines
            or self._bytes_in - self._bytes_out >= self._queue_bytes
        )

    def _put(self, line: bytes) -> None:
        self._queue.append(line)
        self.lines_in += 1
        self._bytes_in += len(line)

    @property
    def samples(self) -> bool:
        """Whether only a sample of the allowed decisions is recorded."""
        return self.sample_allowed < 1

    def sampled(self, decision_id: str) -> bool:
        """Return whether a decision is in the sample; by its id, so the same for all its lines."""
        return self.sample_allowed >= 1 or int(decision_id[-6:], 16) < self.sample_allowed * 2**24

    def use_sink(self, sink: Sink, on_use: Callable[[], None] = lambda: None) -> None:
        """Write to another sink from the next batch on, and close the one before.

        A line that the one before has taken in part is written whole to the other. ``on_use`` is
        called in the writing thread, before the first line is written to it.
        """
        self._next_sink = sink, on_use
        self._wake.set()

    def use_bounds(self, queue_lines: int, queue_bytes: int = QUEUE_BYTES) -> None:
        """Queue at most so much from now on; what is queued already stays."""
        self._queue_lines, self._queue_bytes = queue_lines, queue_bytes

    def part_of_bounds(self, parts: int) -> tuple[int, int]:
        """Return the lines and bytes of one of so many equal parts of the queue."""
        return self._queue_lines // parts, self._queue_bytes // parts

    def reopen(self) -> None:
        """Reopen the file before the next write."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout_seconds: float) -> bool:
        """Write what is queued and stop; return false if the sink did not accept it all in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and not self._queue and not self._lines

    def _run(self) -> None:
        while True:
            patience_seconds = _POLL_SECONDS
            try:
                self._write_batch()
            except Exception as exc:  # noqa: BLE001 - the thread's edge: it continues with the next line
                self.errors += 1
                self._failed(self._as_os_error(exc))
                if self._closing:
                    break
                patience_seconds = _RETRY_SECONDS
            else:
                self._unexpected = 0
                if self._queue or self._lines:
                    continue
                if self._closing:
                    break
            self._wake.wait(patience_seconds)
            self._wake.clear()
        self._lost += self._unwritten() + len(self._queue)
        for each in (self._sink, self.trail):
            with contextlib.suppress(Exception):
                if each is not None:
                    each.close()

    def _unwritten(self) -> int:
        """Return how many lines of the batch are not written."""
        if not self._pending:
            return len(self._lines)
        return self._pending.count(b"\n", self._taken) - self._own_lines

    def _failed(self, exc: OSError) -> None:
        self.problem = exc.strerror or type(exc).__name__
        if self.failing_since is None:
            self.failing_since = self._now()
        try:
            self._on_error(exc)
        except Exception as defect:  # noqa: BLE001 - lines are written even if reporting fails
            _log.error("internal error (a bug in the sidecar)", exc_info=defect)

    def _as_os_error(self, exc: Exception) -> OSError:
        """Wrap an exception that a sink must not raise; drop a batch that keeps raising it."""
        if isinstance(exc, OSError):
            return exc
        self._unexpected += 1
        if self._unexpected >= _UNEXPECTED_TRIES:
            self._unexpected = 0
            self._given_up += self._unwritten()
            self._end_batch()
            _log.error("internal error (a bug in the sidecar): audit lines are lost", exc_info=exc)
        return OSError(0, f"an unexpected {type(exc).__name__}")

    def _write_batch(self) -> None:
        """Write one batch, or the rest of the last one. Raises the sink's ``OSError``."""
        if self._next_sink is not None:
            self._take_next_sink(self._next_sink)
        if self._reopen:
            self._reopen = False
            # The new file begins with a whole line; the old one keeps the incomplete one.
            self._taken = self._whole()
            self._sink.reopen()
        if not self._pending and not self._begin_batch():
            return
        try:
            self._sink.write(self._pending[self._taken :])
        except PartialWriteError as cut:
            self._count_written(self._taken + cut.taken)
            raise
        except LinesRefusedError as lost:
            self._given_up += lost.lines
            self.written -= lost.lines
            self._finish_batch()
            raise OSError(0, str(lost)) from None
        self._finish_batch()
        self.problem, self.failing_since = "", None

    def _take_next_sink(self, taken: tuple[Sink, Callable[[], None]]) -> None:
        before = self._sink
        self._sink, on_use = taken
        if self._next_sink is taken:
            self._next_sink = None
        if self._pending:  # the lines that the other sink has not got are a batch anew
            unwritten = self._unwritten()
            rest = self._lines[len(self._lines) - unwritten :]
            self._end_batch()
            self._lines = rest
        with contextlib.suppress(Exception):
            if before is not self._sink:
                before.close()
        on_use()

    def _begin_batch(self) -> bool:
        """Take lines out of the queue, and what is written for them; false if that is nothing."""
        trail = self.trail
        if not self._lines:
            self._lines = self._take_batch()
        if not self._lines and not (trail and trail.owes(self.dropped)):
            return False
        self._taken = 0
        if trail is None:
            self._pending = b"".join(self._lines)
            return True
        batch = trail.begin(self._lines, self.dropped)
        self._pending, self._own_lines = batch.data, batch.own_lines
        if batch.reopen:
            self._sink.reopen()
        return True

    def _finish_batch(self) -> None:
        self._count_written(len(self._pending))
        self._end_batch()

    def _end_batch(self) -> None:
        """Let go of a batch, of which nothing more is written."""
        if self.trail is not None and self._pending:
            self.trail.end(self._pending[: self._whole()])
        self._lines = []
        self._pending, self._taken, self._own_lines = b"", 0, 0

    def _whole(self) -> int:
        """Return how many bytes of the batch are written in whole lines."""
        return self._pending.rfind(b"\n", 0, self._taken) + 1

    def _count_written(self, taken: int) -> None:
        ends = self._pending.count(b"\n", self._taken, taken)
        own = min(ends, self._own_lines)
        self._own_lines -= own
        self.written += ends - own
        self._taken = taken

    def _take_batch(self) -> list[bytes]:
        queue = self._queue
        lines: list[bytes] = []
        size = 0
        while queue and len(lines) < _BATCH_LINES and size < _BATCH_BYTES:
            lines.append(line := queue.popleft())
            size += len(line)
        self.lines_out += len(lines)
        self._bytes_out += size
        return lines


class AuditShare:
    """The share of the queue that one other process may fill, so that others have space."""

    def __init__(self, log: AuditLog, parts: int) -> None:
        self._log = log
        self._parts = parts
        self._lines = self._bytes = 0
        self._batches: deque[tuple[int, int, int]] = deque()
        """Of each batch: the position of its last line among all lines, its lines, its bytes."""

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue as many lines as this share has space for; return how many were queued."""
        self._let_go()
        max_lines, max_bytes = self._log.part_of_bounds(self._parts)
        free_bytes = max(1, max_bytes) - self._bytes
        fitting = 0
        for line in lines[: max(0, max(1, max_lines) - self._lines)]:
            if free_bytes <= 0:
                break
            free_bytes -= len(line)
            fitting += 1
        taken = self._log.record_lines(lines[:fitting])
        if taken:
            size = sum(map(len, lines[:taken]))
            self._batches.append((self._log.lines_in, taken, size))
            self._lines += taken
            self._bytes += size
        return taken

    def _let_go(self) -> None:
        """Subtract the lines that were written meanwhile."""
        written = self._log.lines_out
        while self._batches and self._batches[0][0] <= written:
            _, lines, size = self._batches.popleft()
            self._lines -= lines
            self._bytes -= size
