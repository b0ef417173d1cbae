"""The metrics and the log of certificates on demand.

Clients choose the names and the rate. So a refusal is counted by its reason, and one line
per reason is logged in ten seconds, with the number of refusals that were not logged.
"""

import logging
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.on_demand import OnDemand
from sidecar.certificates.on_demand.orders import OnDemandEvents
from sidecar.observability.counters import Histogram
from sidecar.observability.metrics import counter, gauge

ORDER_BUCKETS_US = (
    *(2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000),
    *(5_000_000, 15_000_000, 60_000_000),
)
LOG_PAUSE_SECONDS = 10.0
REASONS = frozenset(
    {
        "name_malformed",
        "name_is_address",
        "name_too_deep",
        "name_too_shallow",
        "name_is_configured",
        "too_many_spellings",
        "domain_unknown",
        "domain_of_other_tenant",
        "registry_unavailable",
        "registry_busy",
        "too_many_orders",
        "orders_too_fast",
        "domain_budget_spent",
        "order_failed",
    }
)
"""Every reason of a refusal: the values of the label."""
_log = logging.getLogger("sidecar.certificates.on_demand")


class _Pace:
    """Decides which of many similar events is logged."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._silent: dict[str, int] = {}

    def take(self, kind: str) -> int | None:
        """Return how many were not logged since the last line, or ``None`` to log nothing now."""
        now = self._clock()
        if now - self._last.get(kind, -LOG_PAUSE_SECONDS) < LOG_PAUSE_SECONDS:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return None
        self._last[kind] = now
        return self._silent.pop(kind, 0)


class OnDemandMetrics:
    """Counts the events of ``OnDemand``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._pace = _Pace(clock)
        self.refusals = dict.fromkeys(sorted(REASONS), 0)
        self._orders = {"ok": 0, "failed": 0}
        self._registry_failures = 0
        self._evicted = 0
        self._seconds = Histogram(ORDER_BUCKETS_US)

    def events(self) -> OnDemandEvents:
        """Return the callbacks that count and log."""
        return OnDemandEvents(self._refused, self._obtained, self._failed, self._registry_failed)

    def evicted(self, count: int) -> None:
        """Count names that were evicted at the end of their TTL."""
        self._evicted += count

    def _refused(self, name: str, reason: str) -> None:
        self.refusals[reason] += 1
        self._log_limited(logging.INFO, reason, "denied a certificate for %.100r: %s", name, reason)

    def _obtained(self, name: str, registration: Registration, seconds: float) -> None:
        self._orders["ok"] += 1
        self._seconds.add(int(seconds * 1e6))
        _log.info(
            "certificate obtained on demand for tenant %s in %.0f ms",
            registration.tenant_id,
            seconds * 1000,
            extra={"certificate": name},
        )

    def _failed(self, name: str, reason: str, detail: str) -> None:
        self._orders["failed"] += 1
        self._log_limited(
            logging.WARNING,
            f"failed {reason}",
            "certificate on demand was not obtained, %s: %s",
            name,
            detail,
        )

    def _registry_failed(self, name: str, detail: str) -> None:
        self._registry_failures += 1
        self._log_limited(
            logging.WARNING,
            "registry",
            "the owner of %.100r could not be looked up: %s",
            name,
            detail,
        )

    def _log_limited(self, level: int, kind: str, message: str, *args: object) -> None:
        silent = self._pace.take(kind)
        if silent is not None:
            more = f" ({silent} more since the last such line)" if silent else ""
            _log.log(level, message + more, *args)

    def families(self, on_demand: OnDemand) -> Iterator[Metric]:
        """Yield the metrics."""
        refusals = CounterMetricFamily(
            "septem_on_demand_refusals", "Names denied to handshakes", labels=["reason"]
        )
        for reason, count in self.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals
        orders = CounterMetricFamily(
            "septem_on_demand_orders", "Certificates ordered on demand", labels=["outcome"]
        )
        for outcome, count in self._orders.items():
            orders.add_metric([outcome], count)
        yield orders
        buckets, total = self._seconds.export()
        duration = HistogramMetricFamily(
            "septem_on_demand_order_duration_seconds", "Time from the request to the certificate"
        )
        duration.add_metric([], buckets, total)
        yield duration
        yield gauge("septem_on_demand_names", "Names served on demand", len(on_demand))
        yield gauge("septem_on_demand_open_orders", "Orders under way", on_demand.open_orders)
        yield counter(
            "septem_on_demand_names_evicted",
            "Names that were evicted from an Envoy at the end of their TTL",
            self._evicted,
        )
        yield counter(
            "septem_on_demand_registry_failures",
            "Names whose owner could not be looked up",
            self._registry_failures,
        )
