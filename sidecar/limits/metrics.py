"""The metrics of rate limits. Denied requests are counted with the decisions."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.limits.buckets import Buckets
from sidecar.limits.ports import Store
from sidecar.observability.metrics import gauge


def limit_families(limiter: Buckets, store: Store | None) -> Iterator[Metric]:
    """Yield how many buckets there are, and whether the fleet's server can be used."""
    keys = GaugeMetricFamily("septem_limit_keys", "Buckets in memory", labels=["limit"])
    evicted = CounterMetricFamily(
        "septem_limit_keys_evicted", "Buckets evicted because the table was full", labels=["limit"]
    )
    for kind, (count, gone) in limiter.sizes().items():
        keys.add_metric([kind], count)
        evicted.add_metric([kind], gone)
    yield from (keys, evicted)
    if store is not None:
        yield gauge(
            "septem_limits_store_reachable",
            "1 while limits are shared with the fleet",
            float(store.reachable),
        )
        yield gauge("septem_limits_members", "Sidecars that share limits", store.members)
