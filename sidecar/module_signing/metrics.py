"""The metrics of the publishers of modules."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.observability.metrics import gauge


def publisher_families(
    refresher: PublisherRefresher, clock: Callable[[], float]
) -> Iterator[Metric]:
    """Yield the number of publishers' keys, their age, and the outcomes of refreshes."""
    yield gauge("septem_publisher_keys", "Publishers' keys", len(refresher.publishers))
    yield gauge(
        "septem_publisher_age_seconds",
        "Seconds since the publishers were last read",
        refresher.lifecycle.age_seconds(clock()),
    )
    refreshes = CounterMetricFamily(
        "septem_publisher_refreshes", "Refreshes of the publishers", labels=["outcome"]
    )
    for outcome, count in refresher.outcomes.items():
        refreshes.add_metric([outcome], count)
    yield refreshes
