"""The metrics of the audit trail."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.audit_trail.checkpoints import CheckpointMaker
from sidecar.observability.metrics import gauge


def checkpoint_families(maker: CheckpointMaker) -> Iterator[Metric]:
    """Yield how many checkpoints were made, and how old the last one is."""
    made = CounterMetricFamily(
        "septem_audit_checkpoints", "Signed checkpoints of the audit trail", labels=["cause"]
    )
    for cause, count in maker.made.items():
        made.add_metric([cause], count)
    yield made
    yield gauge(
        "septem_audit_checkpoint_age_seconds",
        "Age of the last checkpoint, or how long there has been none",
        maker.age_seconds,
    )
