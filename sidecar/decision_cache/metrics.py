"""The metrics of the decision cache, as Prometheus families."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.decision_cache.leases import Leases
from sidecar.decision_cache.protocol import ASKED, ModuleCount
from sidecar.observability.metrics import counter, gauge


def lease_families(leases: Leases, refused: int, routes_fit: bool) -> Iterator[Metric]:
    """Yield what modules count, and how their leases and rings are."""
    counts = leases.counts()
    prefix = "septem_decision_cache"
    yield counter(f"{prefix}_repeated", "Decisions repeated", counts[ModuleCount.REPEATED])
    asked = CounterMetricFamily(f"{prefix}_asked", "Requests asked for", labels=["reason"])
    for reason, number in ASKED.items():
        asked.add_metric([reason], counts[number])
    yield asked
    yield counter(f"{prefix}_learnt", "Answers remembered", counts[ModuleCount.LEARNT])
    yield counter(f"{prefix}_not_learnt", "Payloads refused", counts[ModuleCount.NOT_LEARNT])
    yield counter(f"{prefix}_evicted", "Answers evicted", counts[ModuleCount.EVICTED])
    yield gauge(f"{prefix}_entries", "Answers that are remembered", counts[ModuleCount.ENTRIES])
    yield gauge(f"{prefix}_bytes", "Memory they take in Envoy", counts[ModuleCount.BYTES])
    yield gauge(f"{prefix}_leases", "Leases held, one a worker thread of Envoy", leases.held)
    yield gauge(f"{prefix}_ring_fill", "Fill of the fullest ring, 0 to 1", leases.fullest)
    yield counter(f"{prefix}_leases_refused", "Peers that got no lease", refused)
    yield counter(f"{prefix}_ring_faults", "Rings that held no lines", leases.ring_faults)
    yield gauge(f"{prefix}_routes_fit", "1 if the routes fit the table", float(routes_fit))
