"""Collectors: the metrics of the audit log, of spans, of alerts and of polled sources."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditLog
from sidecar.observability.metrics import counter, gauge
from sidecar.observability.tracing.exporter import SpanExporter
from sidecar.observability.tracing.tracer import SpanQueue


def audit_families(audit: AuditLog) -> Iterator[Metric]:
    """Yield the metrics of the audit log."""
    yield counter("septem_audit_lines_written", "Audit lines written", audit.written)
    yield counter("septem_audit_lines_dropped", "Audit lines lost to a full queue", audit.dropped)
    yield counter("septem_audit_write_errors", "Failed writes of audit lines", audit.errors)
    yield gauge("septem_audit_lines_queued", "Audit lines waiting to be written", audit.queued)


def tracing_families(exporter: SpanExporter, queue: SpanQueue) -> Iterator[Metric]:
    """Yield the metrics of the export of spans; those dropped are among a Check's counters."""
    yield counter("septem_trace_spans_exported", "Spans the collector took", exporter.exported)
    yield counter("septem_trace_export_failures", "Batches of spans not taken", exporter.failures)
    yield gauge("septem_trace_spans_queued", "Spans waiting to be exported", len(queue))


def poll_families(polls: Iterable[PollStatus]) -> Iterator[Metric]:
    """Yield the metrics of polled sources: their status, and the outcomes of their reads."""
    failing = GaugeMetricFamily(
        "septem_poll_failing", "1 while a polled source can't be read", labels=["source"]
    )
    reads = CounterMetricFamily(
        "septem_polls", "Reads of polled sources", labels=["source", "outcome"]
    )
    for status in polls:
        failing.add_metric([status.part], float(bool(status.problem)))
        for outcome, count in status.outcomes.items():
            reads.add_metric([status.part, outcome], count)
    yield failing
    yield reads


def alert_families(alerts: Alerts, webhook: Webhook | None) -> Iterator[Metric]:
    """Yield the metrics of alerts and of their delivery."""
    alerts_by_severity = CounterMetricFamily("septem_alerts", "Alerts raised", labels=["severity"])
    for severity, count in alerts.raised.items():
        alerts_by_severity.add_metric([severity], count)
    yield alerts_by_severity
    yield counter("septem_alerts_dropped", "Alerts not delivered to the webhook", alerts.dropped)
    if webhook is not None:
        yield counter("septem_alerts_delivered", "Alerts the webhook accepted", webhook.delivered)
        yield counter("septem_alert_delivery_failures", "Failed deliveries", webhook.failed)
