"""Whether the audit log's sink keeps up: looked at once a second, since when it does not. Pure."""

from typing import Protocol

STALLED_SECONDS = 5.0
"""A sink that takes nothing for so long, while lines wait, hangs."""


class WatchedLog(Protocol):
    """What is looked at; ``AuditLog`` has it."""

    problem: str
    lines_out: int

    @property
    def queued(self) -> int:
        """Lines that wait."""

    @property
    def dropped(self) -> int:
        """Lines that were lost."""


class SinkWatch:
    """Since when lines are lost, or are not taken. Times are Unix seconds."""

    def __init__(self) -> None:
        self.stalled_since: float | None = None
        self.dropped_since: float | None = None
        """When the first line was lost, of those that are lost one after the other."""
        self.dropped_at: float | None = None
        """When one was lost last."""
        self.lost = 0
        """How many were, since then."""
        self.last_problem = ""
        self.words = ""
        """What is wrong with single sinks, or with what waits for them on disk."""
        self.words_since: float | None = None
        """Since when something is."""
        self._before: tuple[int, int] | None = None
        self._waiting_since: float | None = None

    def hear(self, words: str, now: float) -> None:
        """Take what the sinks say of themselves; nothing where all is well."""
        self.words = words
        self.words_since = (self.words_since or now) if words else None

    def look(self, log: WatchedLog, now: float, *, quiet_seconds: float = 300.0) -> None:
        """Look at a log; losses that are ``quiet_seconds`` apart are two stories."""
        out, dropped = log.lines_out, log.dropped
        before, self._before = self._before, (out, dropped)
        if log.problem:
            self.last_problem = log.problem
        if before is None:
            return
        if dropped > before[1]:
            if self.dropped_at is None or now - self.dropped_at > quiet_seconds:
                self.dropped_since, self.lost = now, 0
            self.dropped_at = now
            self.lost += dropped - before[1]
        if out != before[0] or not log.queued:
            self._waiting_since = self.stalled_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since >= STALLED_SECONDS:
            self.stalled_since = self._waiting_since
