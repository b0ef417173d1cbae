"""Starts alerts, the audit log and the export of spans."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sidecar.common.clock import wall_seconds
from sidecar.common.current_task import CurrentTask
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.observability.alert_panel import alerts_panel
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditFault, AuditLog, DescriptorSink, FileSink, Sink
from sidecar.observability.audit.chain_file import ChainPlace, FilePlace, MemoryPlace
from sidecar.observability.audit.otlp import OtlpSink
from sidecar.observability.audit.panel import audit_panel, refusals_panel
from sidecar.observability.audit.pseudonyms import Pseudonymizer
from sidecar.observability.audit.refusals import RecentRefusals
from sidecar.observability.audit.sink_watch import SinkWatch
from sidecar.observability.audit.trail import Trail
from sidecar.observability.collectors import (
    alert_families,
    audit_families,
    tracing_families,
)
from sidecar.observability.counters import SPAN_LOSSES
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from sidecar.observability.panel import Ask, Collect, Panel
from sidecar.observability.tracing.exporter import SpanExporter
from sidecar.observability.tracing.tracer import SpanQueue

_AUDIT_CLOSE_SECONDS = 2.0
_EXPORT_CLOSE_SECONDS = 2.0
_AUDIT = "audit"
_WATCH_SECONDS = 1.0


class TracingFault(Fault):
    """Spans can't be exported."""


Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a task until the drain."""

_log = logging.getLogger("sidecar")


class AlertDelivery:
    """The alerts of ``system.health``, and the webhook that gets them, which a reload may exchange.

    ``spawn`` runs the delivery. Raises ``WebhookFault``.
    """

    def __init__(
        self, settings: model.WebhookSettings | None, metrics: Metrics, spawn: Spawn
    ) -> None:
        self._settings = settings
        self.alerts = Alerts(wall_seconds, with_webhook=settings is not None)
        self._webhook = None if settings is None else self._make(settings)
        self._task = CurrentTask(None if self._webhook is None else self._webhook.run)
        spawn(self._task.run())
        metrics.add_source(lambda: alert_families(self.alerts, self._webhook))

    def panel(self, ask: Ask) -> Panel:
        """Return what the operator's page says of alerts."""
        return alerts_panel(self.alerts, self._webhook, ask)

    async def prepare(self, settings: model.WebhookSettings | None) -> Callable[[], None]:
        """Read the secret of another webhook; return what puts it in force. Raises ``Fault``.

        What waits in the queue then goes to the new one; without one it is dropped.
        """
        if settings == self._settings:
            return lambda: None
        webhook = None if settings is None else await asyncio.to_thread(self._make, settings)
        return partial(self._adopt, settings, webhook)

    def _adopt(self, settings: model.WebhookSettings | None, webhook: Webhook | None) -> None:
        if webhook is not None and self._webhook is not None:
            webhook.delivered, webhook.failed = self._webhook.delivered, self._webhook.failed
        self._settings, self._webhook = settings, webhook
        self.alerts.use_webhook(webhook is not None)
        self._task.replace(None if webhook is None else webhook.run)

    def _make(self, settings: model.WebhookSettings) -> Webhook:
        return Webhook(
            settings, self.alerts, now=wall_seconds, sleep=asyncio.sleep, jitter=random.random
        )


def start_audit(
    settings: model.Audit,
    metrics: Metrics,
    health: Health,
    stack: AsyncExitStack,
    spawn: Spawn,
    *,
    panels: dict[str, Collect],
) -> AuditLog:
    """Open the audit log, and close it with ``stack``; raise ``AuditFault`` if it can't be."""
    trail = Trail(
        _open_place(settings),
        wall_seconds,
        is_chained=settings.chain,
        pseudonyms=None if settings.pseudonyms is None else Pseudonymizer(wall_seconds),
    )
    refusals, watch = RecentRefusals(), SinkWatch()
    refusals.hides_personal = lambda: trail.replaces_personal
    audit = AuditLog(
        _open_sink(settings),
        queue_lines=settings.queue_lines,
        queue_bytes=settings.queue_bytes,
        on_error=_audit_failed,
        sample_allowed=settings.sample_allowed,
        trail=trail,
        refusals=refusals,
    )
    audit.where = _place_of(settings)
    panels["audit"] = partial(audit_panel, audit, watch)
    panels["refusals"] = partial(refusals_panel, refusals)
    stack.callback(_close_audit, audit)
    spawn(_watch_audit(health, audit, watch))
    metrics.add_source(partial(audit_families, audit))
    return audit


def start_tracing(
    settings: model.Tracing | None, metrics: Metrics, stack: AsyncExitStack
) -> SpanQueue | None:
    """Start the export of spans; return the queue that it takes them from.

    ``None`` without the section. Raises ``TracingFault`` without the extra it needs.
    """
    if settings is None:
        return None
    try:
        otlp = import_module("sidecar.observability.tracing.otlp")
    except ModuleNotFoundError as exc:
        raise TracingFault(
            f"tracing needs the package {exc.name}: pip install 'septem-sidecar[otel]', or leave "
            "out the section tracing"
        ) from None
    dropped = metrics.counters.spans_dropped
    dropped.update(dict.fromkeys(SPAN_LOSSES, 0))  # all, as another thread counts some
    queue = SpanQueue(settings.queue_spans, dropped)
    collector = otlp.OtlpCollector(settings, version("septem-sidecar"))
    exporter = SpanExporter(queue, collector, jitter=random.random)
    stack.callback(_close_exporter, exporter)
    metrics.add_source(partial(tracing_families, exporter, queue))
    return queue


def _close_exporter(exporter: SpanExporter) -> None:
    if not exporter.close(_EXPORT_CLOSE_SECONDS):
        _log.error("spans were lost in the drain: the collector did not accept them in time")


async def prepare_audit(
    audit: AuditLog, before: model.Audit, settings: model.Audit
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Open another sink, for a reload; return what puts it in force, and what gives it up.

    Raises ``AuditFault`` if it can't be opened.
    """
    opened: tuple[Sink, ChainPlace] | None = None
    if (settings.to, settings.chain) != (before.to, before.chain):
        opened = await asyncio.to_thread(_open_sink_and_place, settings)

    def adopt() -> None:
        audit.sample_allowed = settings.sample_allowed
        audit.use_bounds(settings.queue_lines, settings.queue_bytes)
        audit.where = _place_of(settings)
        if opened is not None:
            sink, place = opened
            audit.use_sink(sink, partial(_use_place, audit.trail, place, is_chained=settings.chain))

    def abandon() -> None:
        for each in opened or ():
            each.close()

    return adopt, abandon


def _place_of(settings: model.Audit) -> str:
    """Return where lines are written, for people: an address may hold a credential."""
    sink = settings.to
    kind = str(sink.__struct_config__.tag)
    return f"{kind} {sink.path}" if isinstance(sink, model.FileAudit) else kind


def _open_sink(settings: model.Audit) -> Sink:
    match settings.to:
        case model.FileAudit(path=path, max_bytes=max_bytes, keep=keep):
            return FileSink(Path(path), max_bytes=max_bytes, keep=keep)
        case model.OtlpAudit():
            return OtlpSink(settings.to, version("septem-sidecar"))
        case model.StdoutAudit():
            return DescriptorSink()


def _use_place(trail: Trail | None, place: ChainPlace, *, is_chained: bool) -> None:
    if trail is None:
        place.close()
    else:
        trail.use_place(place, is_chained=is_chained)


def _open_sink_and_place(settings: model.Audit) -> tuple[Sink, ChainPlace]:
    place = _open_place(settings)
    try:
        return _open_sink(settings), place
    except BaseException:
        place.close()
        raise


def _open_place(settings: model.Audit) -> ChainPlace:
    """Return where the chain is kept: in the file, or for other receivers in memory."""
    match settings.to:
        case model.FileAudit(path=path) if settings.chain:
            try:
                return FilePlace(Path(path))
            except OSError as exc:
                raise AuditFault(f"{path}.lock can't be opened: {exc.strerror}") from exc
    return MemoryPlace()


async def _watch_audit(health: Health, audit: AuditLog, watch: SinkWatch) -> None:
    """Make the process not ready if the writing thread ends. A stalled sink is only a metric."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        watch.look(audit, wall_seconds())
        if audit.is_writing:
            health.set_healthy(_AUDIT)
        else:
            health.set_unhealthy(
                _AUDIT, "the thread that writes lines has ended: restart the sidecar"
            )


def _audit_failed(exc: OSError) -> None:
    _log.error("audit lines can't be written: %s", exc.strerror)


def _close_audit(audit: AuditLog) -> None:
    if not audit.close(_AUDIT_CLOSE_SECONDS):
        _log.error("audit lines were lost in the drain: the sink did not accept them in time")
