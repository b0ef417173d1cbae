"""The queue before the sink, so that no Check ever waits for one (SECURITY-MODEL §10).

Encoded lines go into a bounded queue; a thread of its own writes them, because writing to a
pipe nobody reads, or to a disk that is gone, blocks. The thread does nothing else: what it
did under the interpreter's lock, Checks would wait for. When the queue is full a line is
dropped and counted, and the count is a metric: silence would be worse.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from sidecar.audit.entry import AuditEntry, encode_entry
from sidecar.audit.sinks import CutShort, Sink

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_BATCH_LINES = 512
_UNEXPECTED_TRIES = 3

_log = logging.getLogger(__name__)


class AuditLog:
    """The queue and its thread. ``record`` and ``append`` never wait or raise."""

    def __init__(
        self,
        sink: Sink,
        *,
        queue_lines: int,
        on_error: Callable[[OSError], None],
        sample_allowed: float = 1.0,
    ) -> None:
        self.written = 0
        self._refused = 0
        self._lost = 0
        self._given_up = 0
        self._unexpected = 0
        self.errors = 0
        self._sink = sink
        self.dropped_before = 0
        self.queued_before = 0
        self._queue: deque[bytes] = deque()
        self._pending = b""
        self._taken = 0
        self._queue_lines = queue_lines
        self._on_error = on_error
        self._sample_allowed = sample_allowed
        self._wake = threading.Event()
        self._closing = False
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that found the queue full, or that could not be written.

        ``dropped_before`` of them were lost in the processes whose lines are queued here.
        """
        return self._refused + self._lost + self._given_up + self.dropped_before

    @property
    def queued(self) -> int:
        """Lines that wait to be written, ``queued_before`` of them in other processes."""
        return len(self._queue) + self.queued_before

    def record(self, entry: AuditEntry) -> None:
        """Queue one entry, or count it as dropped. Of allowed ones only the sample is queued."""
        if entry.outcome == "allow" and not self.sampled(entry.decision_id):
            return
        if len(self._queue) >= self._queue_lines:
            self._refused += 1
            return
        try:
            line = encode_entry(entry)
        except Exception as exc:  # noqa: BLE001 - one bad entry must not end the log
            self._lost += 1
            name = type(exc).__name__
            _log.error("the audit entry %s can't be written: %s", entry.decision_id, name)
            return
        self._queue.append(line)

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue lines that another process encoded, as many as there is room for; returns how many.

        Those that wait stay the other process's, whose own queue fills and counts.
        """
        room = max(0, self._queue_lines - len(self._queue))
        self._queue.extend(lines[:room])
        return min(room, len(lines))

    def append(self, line: bytes) -> None:
        """Queue one line that was encoded elsewhere, or count it as dropped."""
        if len(self._queue) >= self._queue_lines:
            self._refused += 1
        else:
            self._queue.append(line)

    @property
    def samples(self) -> bool:
        """Whether some allowed decisions go unrecorded."""
        return self._sample_allowed < 1

    def sampled(self, decision_id: str) -> bool:
        """Decide by the id, so that every line of one decision has the same fate."""
        return self._sample_allowed >= 1 or int(decision_id[-6:], 16) < self._sample_allowed * 2**24

    def reopen(self) -> None:
        """Have the file opened anew before the next write."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout_seconds: float) -> bool:
        """Write what is queued and stop; False if the sink did not take it all in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and not self._queue and not self._pending

    def _run(self) -> None:
        while True:
            patience_seconds = _POLL_SECONDS
            try:
                self._turn()
            except Exception as exc:  # noqa: BLE001 - the thread's edge: lines are written after it
                self.errors += 1
                self._on_error(self._as_os_error(exc))
                if self._closing:
                    break
                patience_seconds = _RETRY_SECONDS
            else:
                self._unexpected = 0
                if self._queue:
                    continue
                if self._closing:
                    break
            self._wake.wait(patience_seconds)
            self._wake.clear()
        self._lost += self._pending.count(b"\n", self._taken) + len(self._queue)
        with contextlib.suppress(OSError):
            self._sink.close()

    def _as_os_error(self, exc: Exception) -> OSError:
        """Name what a sink must not raise; a batch that it goes on raising for is given up."""
        if isinstance(exc, OSError):
            return exc
        self._unexpected += 1
        if self._unexpected >= _UNEXPECTED_TRIES:
            self._unexpected = 0
            self._given_up += self._pending.count(b"\n", self._taken)
            self._pending = b""
        return OSError(0, f"an unexpected {type(exc).__name__}")

    def _turn(self) -> None:
        """Write one batch, or what is left of the last. Raises the sink's ``OSError``."""
        if self._reopen:
            self._reopen = False
            # The new file begins with a whole line; the old one keeps the torn half.
            self._taken = self._pending.rfind(b"\n", 0, self._taken) + 1
            self._sink.reopen()
        if not self._pending:
            self._pending = self._take_batch()
            self._taken = 0
        if not self._pending:
            return
        try:
            self._sink.write(self._pending[self._taken :])
        except CutShort as cut:
            self._count_written(self._taken + cut.taken)
            raise
        self._count_written(len(self._pending))
        self._pending = b""

    def _count_written(self, taken: int) -> None:
        self.written += self._pending.count(b"\n", self._taken, taken)
        self._taken = taken

    def _take_batch(self) -> bytes:
        queue = self._queue
        return b"".join(queue.popleft() for _ in range(min(len(queue), _BATCH_LINES)))
