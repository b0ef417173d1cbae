"""Starts what the audit trail needs of Vault, once the login is there."""

import asyncio
import random
from functools import partial

from sidecar.audit_trail.checkpoints import CheckpointMaker
from sidecar.audit_trail.metrics import checkpoint_families, pseudonym_families
from sidecar.audit_trail.pseudonym_keys import PseudonymKeyPoller
from sidecar.audit_trail.signer import CheckpointSigner
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.pseudonyms import Pseudonymizer
from sidecar.observability.audit.trail import Trail
from sidecar.transport.http1_messages import Request, Response, problem
from sidecar.vault.client import VaultClient

_WATCH_SECONDS = 1.0


async def start(context: AppContext, vault: VaultClient, alerts: Alerts, audit: AuditLog) -> None:
    """Start the checkpoints, the keys of pseudonyms, and the watch for a trail that was changed."""
    trail, settings = audit.trail, context.config.audit
    if trail is None:
        return
    context.spawn(_watch(trail, alerts))
    if settings.checkpoints is None and settings.pseudonyms is None:
        return
    own_vault = vault.with_own_threads("audit")
    context.stack.push_async_callback(own_vault.close)
    if settings.pseudonyms is not None and trail.pseudonyms is not None:
        await _start_pseudonyms(context, own_vault, audit, trail.pseudonyms, settings.pseudonyms)
    if settings.checkpoints is not None:
        _start_checkpoints(context, own_vault, alerts, (audit, trail), settings.checkpoints)


async def _start_pseudonyms(
    context: AppContext,
    vault: VaultClient,
    audit: AuditLog,
    pseudonyms: Pseudonymizer,
    settings: model.PseudonymSettings,
) -> None:
    poller = PseudonymKeyPoller(
        settings,
        vault,
        pseudonyms,
        append=audit.append,
        now=wall_seconds,
        jitter=random.random,
    )
    context.watch(poller.status)
    context.metrics.add_source(partial(pseudonym_families, poller))
    context.refreshers.append(poller.refresh)
    context.refreshed.append(poller.status)
    with context.waits.on(poller.status.name):
        await poller.refresh()
    context.spawn(poller.run())


def _start_checkpoints(
    context: AppContext,
    vault: VaultClient,
    alerts: Alerts,
    signed: tuple[AuditLog, Trail],
    settings: model.CheckpointSettings,
) -> None:
    audit, trail = signed
    signer = CheckpointSigner(vault, settings.mount, settings.key)
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
