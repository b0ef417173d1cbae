"""A worker's numbers: sent as they are, added up in the main process."""

import msgspec

from sidecar.observability.counters import Count, Counters


class WorkerStats(msgspec.Struct):
    """What one worker, or all of them, came to."""

    counters: Counters = msgspec.field(default_factory=Counters)
    hits: Count = 0
    misses: Count = 0
    evicted: Count = 0
    audit_dropped: Count = 0
    cpu_seconds: float = 0.0
    # From here on what is now, and not what was so far:
    cache_entries: Count = 0
    audit_queued: Count = 0
    connections: Count = 0
    resident_bytes: Count = 0
    lane_stalled_ms: Count = 0
    """How long calls have waited for signature checks of which none is begun."""

    def __len__(self) -> int:
        """Count the tokens that are remembered, as a cache does."""
        return self.cache_entries

    def keep(self, ended: "WorkerStats") -> None:
        """Keep what only grows of a worker that has ended: totals never go backwards."""
        self.counters.merge(ended.counters)
        self.hits += ended.hits
        self.misses += ended.misses
        self.evicted += ended.evicted
        self.audit_dropped += ended.audit_dropped
        self.cpu_seconds += ended.cpu_seconds

    def merge(self, other: "WorkerStats") -> None:
        """Add those of another worker that lives."""
        self.keep(other)
        self.cache_entries += other.cache_entries
        self.audit_queued += other.audit_queued
        self.connections += other.connections
        self.resident_bytes += other.resident_bytes
