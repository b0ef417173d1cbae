"""What the sidecar counts, for Prometheus.

A Check adds to plain integers; what prometheus-client needs is made of them when
somebody asks. Labels come from closed sets (reasons) or from the configuration (routes),
never from a request.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CHECK_BUCKETS_US = (50, 100, 200, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000)
CALL_BUCKETS_US = (1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000)

Source = Callable[[], Iterable[Metric]]
"""Something that can say its numbers when asked."""


class Histogram:
    """Counts of durations in microseconds, by bucket."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds_us: Sequence[int]) -> None:
        self._bounds = tuple(bounds_us)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, microseconds)] += 1
        self._sum += microseconds

    def export(self) -> tuple[list[tuple[str, float]], float]:
        """Return cumulated buckets and the sum, in seconds, as Prometheus wants them."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound is None else repr(bound / 1e6), float(total)))
        return buckets, self._sum / 1e6


class Metrics(Collector):
    """The process's numbers. Rooms with numbers of their own add a ``Source``."""

    def __init__(self) -> None:
        self._checks: dict[tuple[str, str, str], list[int]] = {}
        self.check_latency = Histogram(CHECK_BUCKETS_US)
        self._calls: dict[tuple[str, str], int] = {}
        self._call_latency: dict[str, Histogram] = {}
        self._faults = 0
        self._pii_warnings = 0
        self._sources: list[Source] = []
        # Read from the disk once, not by every scrape on the event loop.
        self._version = version("septem-sidecar")
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def check_count(self, outcome: str, reason: str, route: str) -> list[int]:
        """Return the one-element list that counts such decisions.

        ``route`` is a configured name or ``unmatched``. Who counts often keeps the list.
        """
        key = (outcome, reason, route)
        count = self._checks.get(key)
        if count is None:
            count = self._checks[key] = [0]
        return count

    def count_vault_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Vault; both words are from closed sets."""
        key = (operation, outcome)
        self._calls[key] = self._calls.get(key, 0) + 1
        histogram = self._call_latency.setdefault(operation, Histogram(CALL_BUCKETS_US))
        histogram.add(int(seconds * 1e6))

    def count_pii_warning(self) -> None:
        """Count a token that holds personal data and was let pass."""
        self._pii_warnings += 1

    def count_fault(self) -> None:
        """Count an exception that should not have been."""
        self._faults += 1

    def add_source(self, source: Source) -> None:
        """Ask ``source`` for its families whenever the metrics are read."""
        self._sources.append(source)

    def render(self) -> bytes:
        """Return the text exposition format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield everything, for the registry."""
        yield from self._check_families()
        yield from self._vault_families()
        faults = CounterMetricFamily("septem_internal_faults", "Exceptions that are defects")
        faults.add_metric([], self._faults)
        yield faults
        yield counter(
            "septem_pii_warnings", "Tokens with personal data, let pass", self._pii_warnings
        )
        info = InfoMetricFamily("septem_build", "The version that runs")
        info.add_metric([], {"version": self._version})
        yield info
        for source in self._sources:
            yield from source()

    def _check_families(self) -> Iterator[Metric]:
        labels = ["outcome", "reason", "route"]
        checks = CounterMetricFamily("septem_checks", "Decisions", labels=labels)
        for key, count in self._checks.items():
            checks.add_metric(key, count[0])
        yield checks
        buckets, total = self.check_latency.export()
        latency = HistogramMetricFamily(
            "septem_check_duration_seconds", "Time in the sidecar for one decision"
        )
        latency.add_metric([], buckets, total)
        yield latency

    def _vault_families(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "septem_vault_calls", "Calls to Vault", labels=["operation", "outcome"]
        )
        for key, count in self._calls.items():
            calls.add_metric(key, count)
        yield calls
        latency = HistogramMetricFamily(
            "septem_vault_call_duration_seconds", "Time of a call to Vault", labels=["operation"]
        )
        for operation, histogram in self._call_latency.items():
            buckets, total = histogram.export()
            latency.add_metric([operation], buckets, total)
        yield latency


def gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """Make a gauge of one value."""
    return GaugeMetricFamily(name, documentation, value=value)


def counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    """Make a counter of one value; ``_total`` is added to its name."""
    return CounterMetricFamily(name, documentation, value=value)
