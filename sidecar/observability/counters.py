"""The counters of Checks, as plain integers: no library, no lock, cheap to send and to sum.

Each process that answers Checks has one set. ``observability.metrics`` makes Prometheus families
of them on a scrape; a worker sends its own to the main process, which adds them up.
"""

from bisect import bisect_left
from collections.abc import Container, Mapping
from typing import Annotated, Literal

import msgspec

from sidecar.common.reasons import Grant, Reason

OUTCOMES = ("allow", "deny", "shadow")
LIMITED = ("refused", "shadow")
"""What became of a request over a rate limit."""
LIMIT_KINDS = ("tenant", "route", "address", "token", "login", "account")
TRACE_SHOWN_SECONDS = 60.0
"""How long the exemplar of a trace is not replaced by that of a Check without one."""
_TRACE = "trace_id"
SPAN_LOSSES = ("rate", "queue", "refused", "unreachable")
"""Why a span is not exported: too many a second, a full queue, by the collector, no collector."""
_REASONS = frozenset({*map(str, Reason), *map(str, Grant)})
CHECK_BUCKETS_US = (50, 100, 200, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000)


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Bounds of another process's counts: not negative, and exact as a double."""


class Histogram(msgspec.Struct):
    """Counts of durations in microseconds, by bucket; the last bucket has all longer ones."""

    bounds_us: tuple[int, ...]
    counts: list[Count] = []
    sum_us: Count = 0

    def __post_init__(self) -> None:
        """Start with empty buckets; raise ``ValueError`` for a wrong number of counts."""
        if not self.counts:
            self.counts = [0] * (len(self.bounds_us) + 1)
        if len(self.counts) != len(self.bounds_us) + 1:
            raise ValueError("a histogram must have one count per bucket")

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds_us, microseconds)] += 1
        self.sum_us += microseconds

    def add_all(self, microseconds: Mapping[int, int]) -> None:
        """Count durations, of which each occurred so often."""
        for value, times in microseconds.items():
            self.counts[bisect_left(self.bounds_us, value)] += times
            self.sum_us += value * times

    def total(self) -> int:
        """Return how many durations were counted."""
        return sum(self.counts)

    def merge(self, other: "Histogram") -> None:
        """Add another histogram with the same buckets."""
        self.counts = [
            ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.sum_us += other.sum_us

    def export(self) -> tuple[list[tuple[str, float]], float]:
        """Return cumulative buckets and the sum, in seconds, as Prometheus expects them."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds_us, None), self.counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound is None else repr(bound / 1e6), float(total)))
        return buckets, self.sum_us / 1e6


class Exemplar(msgspec.Struct, frozen=True, array_like=True):
    """One Check of a bucket, by an id that leads to it (OpenMetrics 1.0, "Exemplars")."""

    label: Literal["trace_id", "request_id", "decision_id"]
    value: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{8,64}$")]
    microseconds: Count
    at_seconds: Annotated[float, msgspec.Meta(ge=0, le=2**40)]


class Counters(msgspec.Struct):
    """The counts of one process that answers Checks."""

    checks: dict[tuple[str, str, str], Count] = {}
    latency: Histogram = msgspec.field(default_factory=lambda: Histogram(CHECK_BUCKETS_US))
    exemplars: dict[int, Exemplar] = {}
    """Of ``latency``, by the number of the bucket: one each, of lately."""
    limited: dict[tuple[str, str, str], Count] = {}
    """Requests over a rate limit: what became of them, the limit's kind, the route."""
    pii_warnings: Count = 0
    faults: Count = 0
    spans_dropped: dict[str, Count] = {}
    """Spans that are not exported, by reason (``SPAN_LOSSES``)."""

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for other buckets: they could not be added up."""
        if self.latency.bounds_us != CHECK_BUCKETS_US:
            raise ValueError("the buckets differ from this version's")

    def count_check(self, outcome: str, reason: str, route: str, latency_us: int) -> None:
        """Count one decision; ``route`` is a configured name or ``unmatched``."""
        key = (outcome, reason, route)
        self.checks[key] = self.checks.get(key, 0) + 1
        self.latency.add(latency_us)

    def count_allowed(
        self, reason: str, routes: Mapping[str, int], latencies_us: Mapping[int, int]
    ) -> None:
        """Count allowed decisions at once: how many on each route, and of each latency."""
        for route, times in routes.items():
            key = ("allow", reason, route)
            self.checks[key] = self.checks.get(key, 0) + times
        self.latency.add_all(latencies_us)

    def show(self, exemplar: Exemplar) -> None:
        """Take a Check as its bucket's exemplar. One of a trace stays for a while."""
        bucket = bisect_left(CHECK_BUCKETS_US, exemplar.microseconds)
        held = self.exemplars.get(bucket)
        if held is not None:
            newer_by = exemplar.at_seconds - held.at_seconds
            worse = held.label == _TRACE != exemplar.label
            if newer_by < (TRACE_SHOWN_SECONDS if worse else 0):
                return
        self.exemplars[bucket] = exemplar

    def count_pii_warning(self, times: int = 1) -> None:
        """Count tokens with personal data that were allowed."""
        self.pii_warnings += times

    def count_fault(self) -> None:
        """Count an unexpected exception."""
        self.faults += 1

    def keep_known(self, routes: Container[str]) -> None:
        """Drop counts under unknown names: a label is from a closed set, whoever reports it."""
        self.checks = {
            key: count
            for key, count in self.checks.items()
            if key[0] in OUTCOMES and key[1] in _REASONS and key[2] in routes
        }
        self.limited = {
            key: count
            for key, count in self.limited.items()
            if key[0] in LIMITED and key[1] in LIMIT_KINDS and key[2] in routes
        }
        self.exemplars = {
            bucket: exemplar
            for bucket, exemplar in self.exemplars.items()
            if bucket == bisect_left(CHECK_BUCKETS_US, exemplar.microseconds)
        }
        self.spans_dropped = {
            loss: count for loss, count in self.spans_dropped.items() if loss in SPAN_LOSSES
        }

    def merge(self, other: "Counters") -> None:
        """Add the counts of another process."""
        for key, count in other.checks.items():
            self.checks[key] = self.checks.get(key, 0) + count
        for key, count in other.limited.items():
            self.limited[key] = self.limited.get(key, 0) + count
        self.latency.merge(other.latency)
        for exemplar in other.exemplars.values():
            self.show(exemplar)
        self.pii_warnings += other.pii_warnings
        self.faults += other.faults
        for loss, spans in other.spans_dropped.items():
            self.spans_dropped[loss] = self.spans_dropped.get(loss, 0) + spans
