"""The metrics of the decision cache, as Prometheus families."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.decision_cache.leases import LeaseTable
from sidecar.decision_cache.protocol import ASKED, ModuleCount
from sidecar.observability.metrics import counter, gauge


def lease_families(leases: LeaseTable, refused: int, routes_fit: bool) -> Iterator[Metric]:
    """Yield what modules count, and how their leases and rings are."""
    counts = leases.counts()
    yield counter(
        "septem_decision_cache_repeated", "Decisions repeated", counts[ModuleCount.REPEATED]
    )
    asked = CounterMetricFamily(
        "septem_decision_cache_asked", "Requests asked for", labels=["reason"]
    )
    for reason, number in ASKED.items():
        asked.add_metric([reason], counts[number])
    yield asked
    yield counter("septem_decision_cache_learnt", "Answers remembered", counts[ModuleCount.LEARNT])
    yield counter(
        "septem_decision_cache_not_learnt", "Payloads rejected", counts[ModuleCount.NOT_LEARNT]
    )
    yield counter("septem_decision_cache_evicted", "Answers evicted", counts[ModuleCount.EVICTED])
    yield gauge(
        "septem_decision_cache_entries", "Answers that are remembered", counts[ModuleCount.ENTRIES]
    )
    yield gauge(
        "septem_decision_cache_bytes", "Memory they take in Envoy", counts[ModuleCount.BYTES]
    )
    yield gauge(
        "septem_decision_cache_leases", "Leases held, one a worker thread of Envoy", leases.held
    )
    yield gauge(
        "septem_decision_cache_ring_fill", "Fill of the fullest ring, 0 to 1", leases.fullest
    )
    yield counter("septem_decision_cache_leases_refused", "Peers that got no lease", refused)
    yield counter(
        "septem_decision_cache_ring_faults", "Rings that held no lines", leases.ring_faults
    )
    yield gauge(
        "septem_decision_cache_routes_fit", "1 if the routes fit the table", float(routes_fit)
    )
