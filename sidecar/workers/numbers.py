"""A worker's numbers: sent as they are, added up in the main process."""

import msgspec

from sidecar.tally import Tally


class Numbers(msgspec.Struct):
    """What one worker, or all of them, came to."""

    tally: Tally = msgspec.field(default_factory=Tally)
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    audit_dropped: int = 0
    cpu_seconds: float = 0.0
    # From here on what is now, and not what was so far:
    cache_entries: int = 0
    audit_queued: int = 0
    connections: int = 0
    resident_bytes: int = 0

    def __len__(self) -> int:
        """Count the tokens that are remembered, as a cache does."""
        return self.cache_entries

    def keep(self, ended: "Numbers") -> None:
        """Keep what only grows of a worker that has ended: totals never go backwards."""
        self.tally.merge(ended.tally)
        self.hits += ended.hits
        self.misses += ended.misses
        self.evicted += ended.evicted
        self.audit_dropped += ended.audit_dropped
        self.cpu_seconds += ended.cpu_seconds

    def merge(self, other: "Numbers") -> None:
        """Add those of another worker that lives."""
        self.keep(other)
        self.cache_entries += other.cache_entries
        self.audit_queued += other.audit_queued
        self.connections += other.connections
        self.resident_bytes += other.resident_bytes
