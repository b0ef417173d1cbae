"""The sidecar's metrics, for Prometheus.

A Check adds to plain integers; the objects of prometheus-client are made of them on a scrape.
Labels come from closed sets (reasons) or from the configuration (routes), never from a request.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as OpenMetricsExemplar

from sidecar.common.build import running_build
from sidecar.common.faults import reported
from sidecar.observability.counters import Counters, Exemplar, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_VERSION = "1.0.0"
OPENMETRICS_TYPE = f"application/openmetrics-text; version={OPENMETRICS_VERSION}; charset=utf-8"
CALL_BUCKETS_US = (1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000)

MetricsSource = Callable[[], Iterable[Metric]]
"""Returns metric families on a scrape."""


class Metrics(Collector):
    """The process's metrics. Components add their own as a ``MetricsSource``."""

    def __init__(self) -> None:
        self.counters = Counters()
        self._calls: dict[tuple[str, str], int] = {}
        self._call_latency: dict[str, Histogram] = {}
        self._sources: list[MetricsSource] = []
        self._refreshes: list[Callable[[], Awaitable[None]]] = []
        self._other_counters: list[Callable[[], Iterable[Counters]]] = []
        # Read from the disk once, not on the event loop by every scrape.
        self._build = running_build()
        self.on_fault: Callable[[Exception], None] = lambda _exc: None
        """Gets the exceptions of a source; the other sources are shown nevertheless."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count_fault(self) -> None:
        """Count an unexpected exception."""
        self.counters.count_fault()

    def count_vault_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call to Vault; both labels are from closed sets."""
        key = (operation, outcome)
        self._calls[key] = self._calls.get(key, 0) + 1
        histogram = self._call_latency.setdefault(operation, Histogram(CALL_BUCKETS_US))
        histogram.add(int(seconds * 1e6))

    def add_source(self, source: MetricsSource) -> None:
        """Call ``source`` for its families on every scrape."""
        self._sources.append(source)

    def add_counters(self, others: Callable[[], Iterable[Counters]]) -> None:
        """Add the counts of other processes to this one's on every scrape."""
        self._other_counters.append(others)

    def add_refresh(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Await ``refresh``, which must be quick, before every scrape."""
        self._refreshes.append(refresh)

    async def render_fresh(self, *, openmetrics: bool = False) -> bytes:
        """Return ``render``'s text, after refreshing the counts of other processes."""
        for refresh in self._refreshes:
            with reported(self.on_fault):  # old counts are better than none
                await refresh()
        return self.render(openmetrics=openmetrics)

    def render(self, *, openmetrics: bool = False) -> bytes:
        """Return Prometheus's text format 0.0.4, or OpenMetrics 1.0."""
        if openmetrics:
            text: bytes = exposition.generate_latest(self._registry, version=OPENMETRICS_VERSION)  # type: ignore[no-untyped-call]
            return text
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family, for the registry."""
        yield from _check_families(self._sum())
        yield from self._vault_families()
        info = InfoMetricFamily("septem_build", "The running version")
        info.add_metric([], {"version": self._build.version, "commit": self._build.commit})
        yield info
        for source in self._sources:
            try:
                families = list(source())
            except Exception as exc:  # noqa: BLE001 - one source's bug hides no other's metrics
                self.on_fault(exc)
                continue
            yield from families

    def _sum(self) -> Counters:
        """Return the sum of the counts of this process and its workers."""
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


_LIMITED = (
    ("refused", "septem_rate_limited", "Requests denied by a rate limit"),
    ("shadow", "septem_rate_limit_shadowed", "Requests over a rate limit in shadow mode"),
)


def _check_families(counters: Counters) -> Iterator[Metric]:
    checks = CounterMetricFamily(
        "septem_checks", "Decisions", labels=["outcome", "reason", "route"]
    )
    for key, count in counters.checks.items():
        checks.add_metric(key, count)
    yield checks
    for what, name, documentation in _LIMITED:
        family = CounterMetricFamily(name, documentation, labels=["limit", "route"])
        for (became, kind, route), count in counters.limited.items():
            if became == what:
                family.add_metric((kind, route), count)
        yield family
    if counters.spans_dropped:  # with ``tracing`` only
        dropped = CounterMetricFamily(
            "septem_trace_spans_dropped", "Spans that are not exported", labels=["reason"]
        )
        for loss, spans in counters.spans_dropped.items():
            dropped.add_metric([loss], spans)
        yield dropped
    buckets, total = counters.latency.export()
    latency = HistogramMetricFamily(
        "septem_check_duration_seconds", "Time in the sidecar for one decision"
    )
    shown = counters.exemplars
    latency.add_metric(
        [],
        [
            (bound, count, _exemplar(shown[bucket])) if bucket in shown else (bound, count)
            for bucket, (bound, count) in enumerate(buckets)
        ],
        total,
    )
    yield latency
    yield counter("septem_internal_faults", "Internal errors (bugs)", counters.faults)
    yield counter("septem_pii_warnings", "Allowed tokens with personal data", counters.pii_warnings)


def _exemplar(shown: Exemplar) -> OpenMetricsExemplar:
    """Only OpenMetrics has exemplars; the other format leaves them out."""
    return OpenMetricsExemplar(
        {shown.label: shown.value}, shown.microseconds / 1e6, round(shown.at_seconds, 3)
    )


def gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    """Return a gauge of one value."""
    return GaugeMetricFamily(name, documentation, value=value)


def counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    """Return a counter of one value; ``_total`` is added to its name."""
    return CounterMetricFamily(name, documentation, value=value)
