"""The metrics of the audit trail."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.audit_trail.checkpoints import CheckpointMaker
from sidecar.audit_trail.pseudonym_keys import PseudonymKeyPoller
from sidecar.observability.metrics import counter, gauge


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


def pseudonym_families(poller: PseudonymKeyPoller) -> Iterator[Metric]:
    """Yield how many lines had no keys, and the version of the keys."""
    yield counter(
        "septem_audit_anonymous_lines",
        "Audit lines that were written without the keys of pseudonyms",
        poller.pseudonyms.anonymous,
    )
    yield gauge(
        "septem_audit_pseudonym_keys_version",
        "Version of the keys of pseudonyms in use, 0 for none",
        poller.version,
    )
