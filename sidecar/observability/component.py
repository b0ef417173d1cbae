"""What the operator sees and hears: alerts, the audit log, the admin port."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.admin.server import AdminServer
from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditLog, DescriptorSink, FileSink, OtlpSink, Sink
from sidecar.observability.collectors import alert_families, audit_families

_AUDIT_CLOSE_SECONDS = 2.0
_AUDIT = "audit"
_WATCH_SECONDS = 1.0

_log = logging.getLogger("sidecar")


def start_alerts(life: AppContext) -> Alerts:
    """Start what ``system.health`` says, with the webhook where there is one."""
    settings = life.config.alerts.webhook
    alerts = Alerts(wall_seconds, with_webhook=settings is not None)
    webhook = None
    if settings is not None:
        webhook = Webhook(
            settings, alerts, now=wall_seconds, sleep=asyncio.sleep, jitter=random.random
        )
        life.spawn(webhook.run())
    life.metrics.add_source(partial(alert_families, alerts, webhook))
    return alerts


def open_audit(life: AppContext) -> AuditLog:
    """Open the audit log; raises ``AuditFault`` where that can't be done."""
    settings = life.config.audit
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
    life.stack.callback(_close_audit, audit)
    life.spawn(_watch_audit(life, audit))
    life.metrics.add_source(partial(audit_families, audit))
    return audit


async def start_admin(life: AppContext, refresh_keys: Callable[[], Awaitable[KeyRefresh]]) -> None:
    """Open the admin port."""
    life.routes.update(admin_routes(life.health, life.metrics, refresh_keys))
    admin = AdminServer(
        life.config.listen.admin.address,
        life.routes,
        on_fault=life.on_fault,
    )
    await admin.start()
    life.stack.push_async_callback(admin.close)


async def _watch_audit(life: AppContext, audit: AuditLog) -> None:
    """Have it seen that decisions are recorded no more. A sink that stalls is a metric's affair."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if audit.is_writing:
            life.health.set_healthy(_AUDIT)
        else:
            life.health.set_unhealthy(
                _AUDIT, "the thread that writes lines has ended: restart the sidecar"
            )


def _audit_failed(exc: OSError) -> None:
    _log.error("audit lines can't be written: %s", exc.strerror)


def _close_audit(audit: AuditLog) -> None:
    if not audit.close(_AUDIT_CLOSE_SECONDS):
        _log.error("audit lines were lost at the end: the sink does not take them")
