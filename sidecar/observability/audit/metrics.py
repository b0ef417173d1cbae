"""What is told of audit sinks and of the spool: metrics, and a clause for ``/readyz``."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.common.clock import Now
from sidecar.observability.audit.sink_set import AuditSinks, SinkEntry
from sidecar.observability.audit.spool.reader import SpoolReader
from sidecar.observability.metrics import counter, gauge


def sink_families(sinks: AuditSinks, now: Now) -> Iterator[Metric]:
    """Yield the metrics of each sink that has a thread of its own, and of the spool."""
    lines = CounterMetricFamily(
        "septem_audit_sink_lines", "Audit lines of a sink", labels=["sink", "outcome"]
    )
    errors = CounterMetricFamily(
        "septem_audit_sink_errors", "Failed writes to a sink", labels=["sink"]
    )
    waiting = GaugeMetricFamily(
        "septem_audit_sink_lines_waiting", "Audit lines a sink has not got", labels=["sink"]
    )
    failing = GaugeMetricFamily(
        "septem_audit_sink_failing", "1 while writes to a sink fail", labels=["sink"]
    )
    oldest = GaugeMetricFamily(
        "septem_audit_sink_oldest_seconds", "Age of the oldest spooled line", labels=["sink"]
    )
    for name, entry in sorted(sinks.entries.items()):
        if (delivery := entry.delivery) is None:
            continue
        for outcome, count in outcomes_of(entry).items():
            lines.add_metric([name, outcome], count)
        errors.add_metric([name], delivery.errors)
        waiting.add_metric([name], delivery.waiting)
        failing.add_metric([name], float(bool(delivery.problem)))
        if isinstance(reader := delivery.source, SpoolReader):
            oldest.add_metric([name], _age_seconds(reader, now()))
    yield from (lines, errors, waiting, failing, oldest)
    if (spool := sinks.spool) is not None:
        yield counter("septem_audit_spool_lines", "Audit lines spooled", spool.spooled)
        yield counter("septem_audit_spool_dropped", "Audit lines not spooled", spool.dropped)
        yield gauge("septem_audit_spool_bytes", "Bytes of the spool", spool.store.used_bytes)
        yield gauge("septem_audit_spool_max_bytes", "The bound of the spool", spool.store.max_bytes)
        yield gauge(
            "septem_audit_spool_failing", "1 while lines are not spooled", bool(spool.problem)
        )


def describe_sinks(sinks: AuditSinks) -> Iterator[str]:
    """Yield a clause for each sink that fails."""
    for name, entry in sorted(sinks.entries.items()):
        if entry.delivery is not None and entry.delivery.problem:
            yield f"{name}: {entry.delivery.problem}; {entry.delivery.waiting} lines wait"


def outcomes_of(entry: SinkEntry) -> dict[str, int]:
    """Return what became of a sink's lines; nothing where the audit log's own thread writes it."""
    if (delivery := entry.delivery) is None:
        return {}
    source = delivery.source
    return {
        "delivered": delivery.delivered,
        "refused": delivery.refused,
        "dropped": 0 if entry.intake is None else entry.intake.dropped,
        "damaged": source.lost if isinstance(source, SpoolReader) else 0,
    }


def _age_seconds(reader: SpoolReader, now: float) -> float:
    """Return the age of the oldest line that waits; a clock that was put back makes it 0."""
    if not reader.waiting or not reader.oldest_at_ms:
        return 0.0
    return max(0.0, now - reader.oldest_at_ms / 1000)
