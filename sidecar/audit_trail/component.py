"""Starts what the audit trail needs of Vault, once the login is there."""

import asyncio
from functools import partial

from sidecar.audit_trail.checkpoints import CheckpointMaker
from sidecar.audit_trail.metrics import checkpoint_families
from sidecar.audit_trail.signer import CheckpointSigner
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.context import AppContext
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.trail import Trail
from sidecar.transport.http1_messages import Request, Response, problem
from sidecar.vault.client import VaultClient

_WATCH_SECONDS = 1.0


async def start(context: AppContext, vault: VaultClient, alerts: Alerts, audit: AuditLog) -> None:
    """Start the checkpoints, and the watch for a trail whose end was changed."""
    trail = audit.trail
    if trail is None:
        return
    context.spawn(_watch(trail, alerts))
    settings = context.config.audit.checkpoints
    if settings is None:
        return
    own_vault = vault.with_own_threads("audit")
    context.stack.push_async_callback(own_vault.close)
    signer = CheckpointSigner(own_vault, settings.mount, settings.key)
    maker = CheckpointMaker(
        settings,
        audit,
        trail,
        sign=signer.sign,
        origin=signer.name,
        now=wall_seconds,
        clock=monotonic_seconds,
        say=alerts.say,
    )
    context.watch(maker.status)
    context.metrics.add_source(partial(checkpoint_families, maker))
    context.routes["GET", "/audit/checkpoint"] = partial(_show, maker)
    context.stack.push_async_callback(maker.stop)
    context.spawn(maker.run())


def _show(maker: CheckpointMaker, _request: Request) -> Response:
    """Answer with the newest checkpoint, for who keeps it elsewhere."""
    if maker.last is None:
        return problem(404, "there is no checkpoint yet")
    return Response(200, maker.last.note.encode())


async def _watch(trail: Trail, alerts: Alerts) -> None:
    """Say once that the end of the file was changed while the sidecar did not write it."""
    said = ""
    while True:
        if trail.broken != said:
            said = trail.broken
            what = f"the end of the audit file does not hold: {said}; run `sidecar audit verify`"
            alerts.say(Alert(Severity.CRITICAL, "audit", "chain_broken", what))
        await asyncio.sleep(_WATCH_SECONDS)
