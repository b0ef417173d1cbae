"""What the sidecar counts, for Prometheus.

A Check adds to plain integers; what prometheus-client needs is made of them when
somebody asks. Labels come from closed sets (reasons) or from the configuration (routes),
never from a request.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
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

from sidecar.observability.counters import Counters, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CALL_BUCKETS_US = (1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000)

MetricsSource = Callable[[], Iterable[Metric]]
"""Something that can say its numbers when asked."""


class Metrics(Collector):
    """The process's numbers. Rooms with numbers of their own add a ``MetricsSource``."""

    def __init__(self) -> None:
        self.counters = Counters()
        self._calls: dict[tuple[str, str], int] = {}
        self._call_latency: dict[str, Histogram] = {}
        self._sources: list[MetricsSource] = []
        self._refreshes: list[Callable[[], Awaitable[None]]] = []
        self._other_counters: list[Callable[[], Iterable[Counters]]] = []
        # Read from the disk once, not by every scrape on the event loop.
        self._version = version("septem-sidecar")
        self.on_fault: Callable[[Exception], None] = lambda _exc: None
        """Told what a source raised; the numbers of the others are shown all the same."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count_fault(self) -> None:
        """Count an exception that should not have been."""
        self.counters.count_fault()

    def count_vault_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Vault; both words are from closed sets."""
        key = (operation, outcome)
        self._calls[key] = self._calls.get(key, 0) + 1
        histogram = self._call_latency.setdefault(operation, Histogram(CALL_BUCKETS_US))
        histogram.add(int(seconds * 1e6))

    def add_source(self, source: MetricsSource) -> None:
        """Ask ``source`` for its families whenever the metrics are read."""
        self._sources.append(source)

    def add_counters(self, others: Callable[[], Iterable[Counters]]) -> None:
        """Add the counts of other processes to ours whenever the metrics are read."""
        self._other_counters.append(others)

    def add_refresh(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Wait for ``refresh``, which must be quick, before the metrics are read."""
        self._refreshes.append(refresh)

    async def render_fresh(self) -> bytes:
        """Return the text exposition format, of numbers that are brought up to date."""
        for refresh in self._refreshes:
            try:
                await refresh()
            except Exception as exc:  # noqa: BLE001 - old numbers are better than none
                self.on_fault(exc)
        return self.render()

    def render(self) -> bytes:
        """Return the text exposition format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield everything, for the registry."""
        yield from _check_families(self._sum())
        yield from self._vault_families()
        info = InfoMetricFamily("septem_build", "The version that runs")
        info.add_metric([], {"version": self._version})
        yield info
        for source in self._sources:
            try:
                families = list(source())
            except Exception as exc:  # noqa: BLE001 - one source's defect hides no other's numbers
                self.on_fault(exc)
                continue
            yield from families

    def _sum(self) -> Counters:
        """Add up what this process and its workers counted."""
        total = Counters()
        for counters in (
            self.counters,
            *(counters for each in self._other_counters for counters in each()),
        ):
            total.merge(counters)
        return total

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


def _check_families(counters: Counters) -> Iterator[Metric]:
    checks = CounterMetricFamily(
        "septem_checks", "Decisions", labels=["outcome", "reason", "route"]
    )
    for key, count in counters.checks.items():
        checks.add_metric(key, count)
    yield checks
    buckets, total = counters.latency.export()
    latency = HistogramMetricFamily(
        "septem_check_duration_seconds", "Time in the sidecar for one decision"
    )
    latency.add_metric([], buckets, total)
    yield latency
    yield counter("septem_internal_faults", "Exceptions that are defects", counters.faults)
    yield counter(
        "septem_pii_warnings", "Tokens with personal data, let pass", counters.pii_warnings
    )


def gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """Make a gauge of one value."""
    return GaugeMetricFamily(name, documentation, value=value)


def counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    """Make a counter of one value; ``_total`` is added to its name."""
    return CounterMetricFamily(name, documentation, value=value)
