"""One line on the terminal for what takes longer than two seconds."""

from typing import TextIO

from workload.clock import Now

FIRST_SECONDS = 2.0
PAUSE_SECONDS = 0.5
_MEGA = 1_000_000


class Progress:
    """Counts bytes. Writes nothing where ``terminal`` is none."""

    def __init__(self, terminal: TextIO, clock: Now) -> None:
        self._terminal = terminal
        self._clock = clock
        self._started = clock()
        self._next = self._started + FIRST_SECONDS if terminal.isatty() else float("inf")
        self._shown = False
        self.total = 0

    def add(self, count: int) -> None:
        """Count bytes, and show the line when it is due."""
        self.total += count
        now = self._clock()
        if now < self._next:
            return
        self._next = now + PAUSE_SECONDS
        self._shown = True
        rate = self.total / (now - self._started) / _MEGA
        self._terminal.write(f"\r{self.total / _MEGA:.0f} MB, {rate:.0f} MB/s\x1b[K")
        self._terminal.flush()

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()
