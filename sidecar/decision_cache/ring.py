"""One ring: the audit lines that one worker thread of Envoy has written, read in bulk.

Nothing in it is trusted. It is read by our own count of bytes, and each line must be an audit
line of an allowed decision with an id of this ring. A line leaves the ring only once it is in the
audit sink: of a sidecar that is killed, the next one finds in the ring what is missing.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import NamedTuple, Protocol

from sidecar.common.errors import Fault
from sidecar.decision_cache.memory import SharedMemory
from sidecar.decision_cache.protocol import (
    COUNT_OFFSET,
    COUNTS,
    HEAD_OFFSET,
    MAX_LINE,
    RING_HEADER,
    TAIL_OFFSET,
    WORD_BYTES,
)
from sidecar.observability.audit.entry import AuditLine, read_lines

SLICE_BYTES = 131_072
"""The most that is read at once; between two slices the loop answers Checks."""
_HEAD, _TAIL, _COUNT = (each // WORD_BYTES for each in (HEAD_OFFSET, TAIL_OFFSET, COUNT_OFFSET))


_DECISION = attrgetter("outcome", "reason", "status")
_ID, _ROUTE = attrgetter("decision_id"), attrgetter("route")
_ALLOWED = {("allow", "token_verified", 200)}


class RingFault(Fault):
    """A ring holds what no module writes."""


class LineSink(Protocol):
    """Where lines go; ``AuditLog`` is one. ``lines_in`` and ``settled`` count lines."""

    lines_in: int

    @property
    def samples(self) -> bool:
        """Whether only a sample of the decisions is recorded."""

    @property
    def settled(self) -> int:
        """How many of ``lines_in``, from the first on, are written or given up."""

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue as many whole lines as fit; return how many were queued."""

    def sampled(self, decision_id: str) -> bool:
        """Return whether a decision is in the sample."""


class _Batch(NamedTuple):
    """Lines that were queued: the ring's bytes and the sink's lines, each up to their end."""

    read: int
    lines_in: int


class Ring:
    """Reads one ring. ``on_lines`` is called with the lines that were queued.

    ``routes`` are the names that a line may have: they become labels of metrics.
    """

    def __init__(
        self,
        memory: SharedMemory,
        ring_id: bytes,
        sink: LineSink,
        routes: Container[str],
        on_lines: Callable[[Sequence[AuditLine]], None],
    ) -> None:
        self.ring_id = ring_id.decode("ascii", "replace")
        self._memory = memory
        self._sink = sink
        self._routes = routes
        self._on_lines = on_lines
        self._bytes = memory.size - RING_HEADER
        self._read = self._tail = memory.words[_TAIL]
        self._batches: deque[_Batch] = deque()
        self._broken = False

    @property
    def counts(self) -> tuple[int, ...]:
        """What the module has counted (``protocol.ModuleCount``)."""
        return tuple(self._memory.words[_COUNT : _COUNT + COUNTS])

    @property
    def fill(self) -> float:
        """The share of it that is taken, from 0 to 1."""
        return min(1.0, max(0, self._memory.words[_HEAD] - self._tail) / self._bytes)

    @property
    def is_empty(self) -> bool:
        """Whether every line that was written is in the sink, or nothing more can be read."""
        if self._broken:
            return True
        return not self._batches and self._memory.words[_HEAD] == self._read

    def drain(self) -> bool:
        """Queue one slice of lines; return whether there are more and the sink takes them.

        Raises ``RingFault`` for what is no audit line of this ring; then no more is read.
        """
        if self._broken:
            return False
        try:
            return self._read_slice()
        except RingFault:
            self._broken = True
            raise

    def _read_slice(self) -> bool:
        self._settle()
        waiting = self._memory.words[_HEAD] - self._read
        if not waiting:
            return False
        if not 0 < waiting <= self._bytes - (self._read - self._tail):
            raise RingFault(f"ring {self.ring_id}: its head is impossible")
        data = self._slice(min(waiting, SLICE_BYTES))
        end = data.rfind(b"\n") + 1
        if not end:
            raise RingFault(f"ring {self.ring_id}: a line of over {MAX_LINE} bytes, or half of one")
        data = data[:end]
        entries = self._checked(data)
        lines = [line + b"\n" for line in data[:-1].split(b"\n")]
        if max(map(len, lines)) > MAX_LINE:
            raise RingFault(f"ring {self.ring_id}: a line of over {MAX_LINE} bytes")
        return self._queue(lines, entries) and waiting > end

    def close(self) -> None:
        """Let go of the memory. What is still in it is lost to this process."""
        self._settle()
        self._memory.close()

    def _settle(self) -> None:
        """Give the module the space of the lines that are in the sink."""
        settled, tail = self._sink.settled, self._tail
        while self._batches and self._batches[0].lines_in <= settled:
            tail = self._batches.popleft().read
        if tail != self._tail:
            self._tail = self._memory.words[_TAIL] = tail

    def _slice(self, size: int) -> bytes:
        at = self._read & (self._bytes - 1)
        first = min(size, self._bytes - at)
        data = self._memory.bytes
        head = data[RING_HEADER + at : RING_HEADER + at + first]
        return head if first == size else head + data[RING_HEADER : RING_HEADER + size - first]

    def _queue(self, lines: Sequence[bytes], entries: Sequence[AuditLine]) -> bool:
        """Queue the lines that are in the sample; return whether the sink took all of them."""
        sink = self._sink
        if sink.samples:
            kept = [sink.sampled(entry.decision_id) for entry in entries]
            left = sink.record_lines(list(compress(lines, kept)))
            consumed = _position(kept, left)
        else:
            consumed = sink.record_lines(lines)
        if consumed:
            self._on_lines(entries[:consumed])
            self._read += sum(map(len, lines[:consumed]))
            self._batches.append(_Batch(self._read, sink.lines_in))
        return consumed == len(lines)

    def _checked(self, lines: bytes) -> list[AuditLine]:
        """Read lines; what they say is checked for all at once, as this is done for each."""
        entries = read_lines(lines)
        ring_id = self.ring_id
        if (
            entries is None
            or set(map(_DECISION, entries)) != _ALLOWED
            or not all(route in self._routes for route in set(map(_ROUTE, entries)))
            or not all(map(str.startswith, map(_ID, entries), repeat(ring_id)))
        ):
            raise RingFault(f"ring {ring_id}: what is no line of an allowed decision of it")
        return entries


def _position(kept: Sequence[bool], taken: int) -> int:
    """Return how many come before the first that is kept and not among the taken."""
    for number, is_kept in enumerate(kept):
        if is_kept and not taken:
            return number
        taken -= is_kept
    return len(kept)
