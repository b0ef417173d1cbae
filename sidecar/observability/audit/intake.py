"""The bounded queue of one sink, or of the spool: what one thread puts in and another takes out.

``put`` never waits. A full queue drops what comes and counts it: what is in it stays, for it may
have been said to be safe already.
"""

import threading
from collections import deque
from typing import NamedTuple


class Batch(NamedTuple):
    """Whole lines that are written together, and tried again together."""

    lines: bytes
    line_count: int
    end: int
    """The number of the line after the last, where lines are numbered."""


class Intake:
    """Chunks of whole lines between two threads."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.max_lines = max_lines
        self.max_bytes = max_bytes
        self.dropped = 0
        self._chunks: deque[tuple[bytes, int]] = deque()
        # Each counter is written by one thread only: a shared one would need a lock.
        self._lines_in = self._lines_out = self._bytes_in = self._bytes_out = 0
        self.wake = threading.Event()

    def use_bounds(self, max_lines: int, max_bytes: int) -> None:
        """Hold at most so much from now on; what waits already stays."""
        self.max_lines, self.max_bytes = max_lines, max_bytes

    @property
    def waiting(self) -> int:
        """The lines that are not done with."""
        return self._lines_in - self._lines_out

    @property
    def is_full(self) -> bool:
        """Whether nothing is taken; whoever alone puts lines in can rely on one that is not."""
        size = self._bytes_in - self._bytes_out
        return self.waiting >= self.max_lines or size >= self.max_bytes

    def put(self, lines: bytes, count: int) -> bool:
        """Queue whole lines and return true, or count them as dropped."""
        if self.is_full:
            self.dropped += count
            return False
        self._chunks.append((lines, count))
        self._lines_in += count
        self._bytes_in += len(lines)
        self.wake.set()
        return True

    def take(self, max_lines: int, max_bytes: int) -> Batch | None:
        """Return what waits, up to so much but at least one chunk; it waits until ``done``."""
        taken: list[bytes] = []
        count = size = 0
        while self._chunks:
            lines, here = self._chunks[0]
            if taken and (count + here > max_lines or size + len(lines) > max_bytes):
                break
            self._chunks.popleft()
            taken.append(lines)
            count += here
            size += len(lines)
        return Batch(b"".join(taken), count, 0) if taken else None

    def done(self, batch: Batch) -> None:
        """Let go of a batch."""
        self._lines_out += batch.line_count
        self._bytes_out += len(batch.lines)

    def close(self) -> None:
        """Nothing to close."""

    def give_up(self) -> int:
        """Drop everything that waits; return how many lines that were."""
        given_up = self.waiting
        self._chunks.clear()
        self._lines_out = self._lines_in
        self._bytes_out = self._bytes_in
        self.dropped += given_up
        return given_up
