"""Starts alerts and the audit log."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditLog, DescriptorSink, FileSink, Sink
from sidecar.observability.audit.otlp import OtlpSink
from sidecar.observability.collectors import alert_families, audit_families
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics

_AUDIT_CLOSE_SECONDS = 2.0
_AUDIT = "audit"
_WATCH_SECONDS = 1.0

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a task until the drain."""

_log = logging.getLogger("sidecar")


def start_alerts(settings: model.WebhookSettings | None, metrics: Metrics, spawn: Spawn) -> Alerts:
    """Start the alerts of ``system.health``; where there is a webhook, ``spawn`` runs it."""
    alerts = Alerts(wall_seconds, with_webhook=settings is not None)
    webhook = None
    if settings is not None:
        webhook = Webhook(
            settings, alerts, now=wall_seconds, sleep=asyncio.sleep, jitter=random.random
        )
        spawn(webhook.run())
    metrics.add_source(partial(alert_families, alerts, webhook))
    return alerts


def start_audit(
    settings: model.Audit, metrics: Metrics, health: Health, stack: AsyncExitStack, spawn: Spawn
) -> AuditLog:
    """Open the audit log, and close it with ``stack``; raise ``AuditFault`` if it can't be."""
    match settings.to:
        case model.FileAudit(path=path, max_bytes=max_bytes, keep=keep):
            sink: Sink = FileSink(Path(path), max_bytes=max_bytes, keep=keep)
        case model.OtlpAudit():
            sink = OtlpSink(settings.to, version("septem-sidecar"))
        case model.StdoutAudit():
            sink = DescriptorSink()
    audit = AuditLog(
        sink,
        queue_lines=settings.queue_lines,
        queue_bytes=settings.queue_bytes,
        on_error=_audit_failed,
        sample_allowed=settings.sample_allowed,
    )
    stack.callback(_close_audit, audit)
    spawn(_watch_audit(health, audit))
    metrics.add_source(partial(audit_families, audit))
    return audit


async def _watch_audit(health: Health, audit: AuditLog) -> None:
    """Make the process not ready if the writing thread ends. A stalled sink is only a metric."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
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
