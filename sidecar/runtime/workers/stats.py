"""A worker's statistics, which it sends to the main process, where they are added up."""

import msgspec

from sidecar.observability.counters import Count, Counters


class WorkerStats(msgspec.Struct):
    """The statistics of one worker, or the sums of several."""

    counters: Counters = msgspec.field(default_factory=Counters)
    hits: Count = 0
    misses: Count = 0
    evicted: Count = 0
    audit_dropped: Count = 0
    cpu_seconds: float = 0.0
    # From here on gauges, not totals:
    cache_entries: Count = 0
    audit_queued: Count = 0
    connections: Count = 0
    resident_bytes: Count = 0
    lane_stalled_ms: Count = 0
    """How long calls have waited for signature checks without any of them being started."""

    def __len__(self) -> int:
        """Count the cached tokens, as a cache does."""
        return self.cache_entries

    def add_totals(self, ended: "WorkerStats") -> None:
        """Add only the totals, of a worker that has ended, so that totals never decrease."""
        self.counters.merge(ended.counters)
        self.hits += ended.hits
        self.misses += ended.misses
        self.evicted += ended.evicted
        self.audit_dropped += ended.audit_dropped
        self.cpu_seconds += ended.cpu_seconds

    def merge(self, other: "WorkerStats") -> None:
        """Add the totals and gauges of another running worker."""
        self.add_totals(other)
        self.cache_entries += other.cache_entries
        self.audit_queued += other.audit_queued
        self.connections += other.connections
        self.resident_bytes += other.resident_bytes
