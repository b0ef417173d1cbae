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
from sidecar.config import model
from sidecar.observability.alert_panel import alerts_panel
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditFault, AuditLog
from sidecar.observability.audit.chain_file import ChainPlace, FilePlace, MemoryPlace
from sidecar.observability.audit.metrics import describe_sinks, sink_families
from sidecar.observability.audit.panel import audit_panel, refusals_panel
from sidecar.observability.audit.pseudonyms import Pseudonymizer
from sidecar.observability.audit.refusals import RecentRefusals
from sidecar.observability.audit.sink_gaps import SinkGaps
from sidecar.observability.audit.sink_set import AuditSinks
from sidecar.observability.audit.sink_watch import SinkWatch
from sidecar.observability.audit.sinks_panel import with_sinks
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
_SINKS = "audit_sinks"
_SPOOL = "audit_spool"
_WATCH_SECONDS = 1.0


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
) -> tuple[AuditLog, AuditSinks]:
    """Open the audit log and its sinks, and close them with ``stack``.

    Raises ``AuditFault`` if one can't be opened.
    """
    gaps = SinkGaps()
    trail = Trail(
        _open_place(settings),
        wall_seconds,
        is_chained=settings.chain,
        pseudonyms=None if settings.pseudonyms is None else Pseudonymizer(wall_seconds),
        gaps=gaps,
    )
    refusals, watch, sinks = RecentRefusals(), SinkWatch(), AuditSinks(settings, gaps)
    refusals.hides_personal = lambda: trail.replaces_personal
    audit = AuditLog(
        sinks.root,
        queue_lines=settings.queue_lines,
        queue_bytes=settings.queue_bytes,
        on_error=_audit_failed,
        sample_allowed=settings.sample_allowed,
        trail=trail,
        refusals=refusals,
        unsettled=sinks.unsettled,
    )
    audit.where = _place_of(settings)
    panels["audit"] = lambda ask: with_sinks(audit_panel(audit, watch, ask), sinks)
    panels["refusals"] = partial(refusals_panel, refusals)
    stack.push_async_callback(asyncio.to_thread, _close_audit, audit, sinks)
    spawn(_watch_audit(health, audit, watch, sinks))
    spawn(sinks.run())
    metrics.add_source(partial(audit_families, audit))
    metrics.add_source(partial(sink_families, sinks, wall_seconds))
    return audit, sinks


def start_tracing(
    settings: model.Tracing | None, metrics: Metrics, stack: AsyncExitStack
) -> SpanQueue | None:
    """Start the export of spans; return the queue that it takes them from.

    ``None`` without the section. What exports them is imported here: it takes memory and a moment.
    """
    if settings is None:
        return None
    otlp = import_module("sidecar.observability.tracing.otlp")
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
    audit: AuditLog, sinks: AuditSinks, settings: model.Audit
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Open other sinks, for a reload; return what puts them in force, and what gives them up.

    Raises ``Fault`` if one can't be opened, or its credential can't be read.
    """
    before = sinks.settings
    adopt_sinks, abandon_sinks = await sinks.prepare(settings)
    place: ChainPlace | None = None
    if (settings.to, settings.chain) != (before.to, before.chain):
        try:
            place = await asyncio.to_thread(_open_place, settings)
        except BaseException:
            abandon_sinks()
            raise

    def adopt() -> None:
        audit.sample_allowed = settings.sample_allowed
        audit.use_bounds(settings.queue_lines, settings.queue_bytes)
        audit.where = _place_of(settings)
        adopt_sinks()
        if place is not None:
            use = partial(_use_place, audit.trail, place, is_chained=settings.chain)
            audit.use_sink(sinks.root, use)

    def abandon() -> None:
        abandon_sinks()
        if place is not None:
            place.close()

    return adopt, abandon


def _place_of(settings: model.Audit) -> str:
    """Return where lines are written, for people: an address may hold a credential."""
    return ", ".join(
        f"file {each.path}" if isinstance(each, model.FileAudit) else each.name
        for each in settings.sinks
    )


def _use_place(trail: Trail | None, place: ChainPlace, *, is_chained: bool) -> None:
    if trail is None:
        place.close()
    else:
        trail.use_place(place, is_chained=is_chained)


def _open_place(settings: model.Audit) -> ChainPlace:
    """Return where the chain is kept: in the file, or for other receivers in memory.

    Of several receivers a file is one, which its own thread writes later.
    """
    files = [Path(each.path) for each in settings.sinks if isinstance(each, model.FileAudit)]
    if not files or not settings.chain:
        return MemoryPlace()
    if len(settings.sinks) > 1:
        return MemoryPlace(files[0])
    try:
        return FilePlace(files[0])
    except OSError as exc:
        raise AuditFault(f"{files[0]}.lock can't be opened: {exc.strerror}") from exc


async def _watch_audit(
    health: Health, audit: AuditLog, watch: SinkWatch, sinks: AuditSinks
) -> None:
    """Make the process not ready if a thread that writes ends. A stalled sink is only said."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        watch.look(audit, wall_seconds())
        if audit.is_writing and sinks.are_running:
            health.set_healthy(_AUDIT)
        else:
            health.set_unhealthy(
                _AUDIT, "the thread that writes lines has ended: restart the sidecar"
            )
        of_sinks = "; ".join(describe_sinks(sinks))
        of_spool = "" if sinks.spool is None else sinks.spool.problem
        _show(health, _SINKS, of_sinks)
        _show(health, _SPOOL, of_spool)
        watch.hear("; ".join(filter(None, (of_sinks, of_spool))), wall_seconds())


def _show(health: Health, part: str, words: str) -> None:
    if words:
        health.facts[part] = words
    else:
        health.facts.pop(part, None)


def _audit_failed(exc: OSError) -> None:
    _log.error("audit lines can't be written: %s", exc.strerror)


def _close_audit(audit: AuditLog, sinks: AuditSinks) -> None:
    written = audit.close(_AUDIT_CLOSE_SECONDS)
    lost = sinks.close(_AUDIT_CLOSE_SECONDS)
    if lost or not written:
        _log.error("audit lines were lost in the drain: the sink did not accept them in time")
