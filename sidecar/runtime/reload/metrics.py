"""The metrics of the configuration in force and of its reloads."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, InfoMetricFamily, Metric

from sidecar.observability.metrics import gauge
from sidecar.runtime.reload.reloader import Reloader


def reload_families(reloader: Reloader) -> Iterator[Metric]:
    """Yield the reloads by result, the time of the last success, and the digest in force."""
    reloads = CounterMetricFamily(
        "septem_config_reloads", "Reloads of the configuration", labels=["result"]
    )
    for result, count in reloader.results.items():
        reloads.add_metric([result], count)
    yield reloads
    yield gauge(
        "septem_config_last_reload_successful",
        "0 while the last reload was rejected",
        float(not reloader.is_refused),
    )
    yield gauge(
        "septem_config_last_reload_success_timestamp_seconds",
        "When a configuration was last put in force or found unchanged",
        reloader.succeeded_at,
    )
    yield gauge(
        "septem_config_warnings",
        "What hardly anybody means by the configuration in force",
        float(len(reloader.warnings.found)),
    )
    info = InfoMetricFamily("septem_config", "The configuration in force")
    info.add_metric([], {"sha256": reloader.digest})
    yield info
