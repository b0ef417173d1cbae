"""One running sidecar: start order, the main loop, drain.

Start: log, Vault, keys, the listeners, certificates; any failure before the last certificate
is there ends the process with a message (INIT: "startup fails if Vault is unreachable",
SECURITY-MODEL §3). A certificate that takes long holds up no Check. Main loop: wait for a
signal. Drain: first not ready, then no new calls, calls in flight answered, audit and log
written, exit 0.

Each component starts itself, in its ``component.py``.

Longer than other files: the one place that names every component, in their order.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import uvloop
from prometheus_client.core import Metric

from sidecar.admin import component as admin
from sidecar.audit_trail import component as audit_trail
from sidecar.common.clock import monotonic_ns
from sidecar.common.errors import Fault
from sidecar.common.faults import watch_loop
from sidecar.common.polling import describe
from sidecar.common.shared_run import SharedRun
from sidecar.config import model
from sidecar.config.endpoints import check_endpoints
from sidecar.context import AppContext, PreparedPart
from sidecar.csp.reports import component as csp_reports
from sidecar.decision_cache import component as decision_cache
from sidecar.decision_cache.component import DecisionCache
from sidecar.keys import component as keys
from sidecar.keys import tenant_tables
from sidecar.limits import component as limits
from sidecar.module_signing import component as module_signing
from sidecar.observability import component as observability
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.sink_set import AuditSinks
from sidecar.observability.collectors import poll_families
from sidecar.observability.logs import LogOutput
from sidecar.observability.metrics import counter, gauge
from sidecar.observability.stderr import ForeignLines
from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.hardening.process import adopt_orphans, harden_process
from sidecar.runtime.in_process import Checks, InProcessChecks
from sidecar.runtime.instance import (
    Instance,
    Start,
    hand_over,
    start_successor,
)
from sidecar.runtime.operator_requests import KeyRefreshes
from sidecar.runtime.reload import component as reload
from sidecar.runtime.service_manager import ServiceManager, read_environment
from sidecar.runtime.signals import SignalThread
from sidecar.runtime.workers.component import WorkerChecks
from sidecar.sds import component as sds
from sidecar.vault import component as vault
from sidecar.vault.client import VaultClient

EXIT_OK = 0
EXIT_FAULT = 1
_SOCKET_UMASK = 0o117
"""Only the owner and the group may use sockets and files of this process."""

_ACME = "sidecar.certificates.issuers.acme.issuer"
_DNS01 = "sidecar.certificates.challenges.dns01.factory"

_log = logging.getLogger("sidecar")


class Invocation(NamedTuple):
    """How this process was asked to serve."""

    path: Path
    """The file of the configuration, for a reload."""
    take_over: bool
    """Whether the Unix sockets of a sidecar that runs are taken from it."""


def serve(
    config: model.Config, path: Path, signals: SignalThread, *, take_over: bool = False
) -> int:
    """Run until SIGTERM or SIGINT; return the exit code.

    ``path`` is the file of the configuration, for a reload. ``take_over`` the Unix sockets of a
    sidecar that still runs, once everything else is ready.
    """
    _import_parts(config)
    os.umask(_SOCKET_UMASK)
    hardening = harden_process(), adopt_orphans()
    foreign = ForeignLines()
    foreign.start()
    log = LogOutput(config.log.level, descriptor=foreign.descriptor)
    signals.stderr = foreign.descriptor
    for each in hardening:
        if each.missing:
            _log.warning("this process is not fully hardened: %s", each)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_healthy = runner.run(
                run(config, log, signals, Invocation(path.absolute(), take_over))
            )
    except Fault as fault:
        _log.critical("%s", fault)
        return EXIT_FAULT
    except OSError as exc:
        _log.critical("not started: %s", describe(exc))
        return EXIT_FAULT
    except Exception:  # noqa: BLE001 - the process's edge
        _log.critical("stopped by an internal error (a bug in the sidecar)", exc_info=True)
        return EXIT_FAULT
    finally:
        foreign.close()
        log.close()
    return EXIT_OK if is_healthy else EXIT_FAULT


def _import_parts(config: model.Config) -> None:
    """Import the large parts that only some configurations need: certbot's library, dnspython.

    Now, and not when it starts: nothing is open yet, so that a signal to stop ends the process
    at once, and nothing in the event loop waits for it.
    """
    acme = [each for each in config.issuers if isinstance(each, model.AcmeIssuerSettings)]
    if acme:
        import_module(_ACME)
    if any(each.dns is not None for each in acme):
        import_module(_DNS01)


async def run(
    config: model.Config, log: LogOutput, signals: SignalThread, invocation: Invocation
) -> bool:
    """Start, serve, drain. Raises the ``Fault`` that prevented the start.

    Returns false where a bug ended it, and not a signal.
    """
    start = partial(_start, invocation.path)
    running = _make_instance(config, log, take_over=invocation.take_over)
    _attach(signals, running)
    replaced: set[asyncio.Task[None]] = set()
    try:
        if await running.start(start):
            running.manager.started()
            signals.serves()
            async for successor, done in _replacements(running, log, start, replaced):
                _attach(signals, successor)
                leaving = asyncio.create_task(hand_over(running, successor, done))
                replaced.add(leaving)
                leaving.add_done_callback(replaced.discard)
                running = successor
            _log.info("draining")
            running.manager.stopping()
            running.context.health.set_unhealthy("drain", "shutting down")
            # What watches our readiness is given the time to see it before calls are refused.
            await asyncio.sleep(running.config.listen.drain_notice_seconds)
        else:
            waited = running.waited_for
            _log.info("stopped while it starts%s", f"; it waited for {waited}" if waited else "")
    finally:
        await asyncio.gather(running.close(), *replaced)
    _log.info("stopped")
    return not running.context.failed


async def _replacements(
    running: Instance, log: LogOutput, start: Start, replaced: Collection["asyncio.Task[None]"]
) -> AsyncIterator[tuple[Instance, Callable[[], None]]]:
    """Yield each instance that takes the place of the running one, until a signal to stop.

    And what is to be called once the running one answers no Check any more. ``replaced`` are the
    tasks of those that were replaced: the next restart waits until they have let go of everything.
    """
    while (request := await running.restarts.next_before(running.context.stop)) is not None:
        await asyncio.gather(asyncio.to_thread(_import_parts, request.config), *replaced)
        successor = _make_instance(request.config, log, take_over=True)
        successor.manager.mute()  # until it has taken over
        why = await start_successor(running, successor, start)
        if why:
            request.ended.set_result(why)
        else:
            _log.info("a sidecar with the new configuration has taken over")
            logging.getLogger().setLevel(request.config.log.level.upper())
            running.manager.mute()
            successor.manager.started()
            running = successor
            yield successor, partial(request.ended.set_result, "")


def _make_instance(config: model.Config, log: LogOutput, *, take_over: bool) -> Instance:
    """Return an instance that has opened nothing. Raises ``Fault``."""
    context = AppContext(config)
    context.metrics.add_source(lambda: _own_families(context, log))
    context.metrics.add_source(lambda: poll_families(context.polls))
    settings = read_environment(os.environ, os.getpid())
    manager = ServiceManager(settings, context.health, context.waits, monotonic_ns)
    return Instance(config, manager, context, take_over=take_over)


async def _start(path: Path, instance: Instance) -> None:
    """Start everything, in its order.

    A predecessor that is replaced keeps its sockets until nothing is waited for any more, so that
    it goes on unharmed if this start fails.
    """
    context, locks, manager = instance.context, instance.locks, instance.manager
    config = context.config
    delivery = observability.AlertDelivery(config.alerts.webhook, context.metrics, context.spawn)
    alerts = delivery.alerts
    audit, sinks = observability.start_audit(
        config.audit,
        context.metrics,
        context.health,
        context.stack,
        context.spawn,
        panels=context.panels,
    )
    context.panels["alerts"] = delivery.panel
    refreshes = KeyRefreshes(context)
    spans = observability.start_tracing(config.tracing, context.metrics, context.stack)
    start_admin = partial(admin.start, context, SharedRun(refreshes.run))
    if not locks.take_over:
        await start_admin()  # before anything that may take long: /readyz says what is waited for
    client = await vault.start(context)
    sinks.use_vault(client, context.exchange_watched)
    await audit_trail.start(context, client, alerts, audit)
    cache = decision_cache.make(context, audit, alerts)
    checks = _make_checks(context, audit, cache, spans)
    pollers = await keys.start(
        context,
        client,
        alerts,
        publish=checks.publish,
        publish_revocations=checks.publish_revocations,
    )
    await tenant_tables.start(context, client, checks.publish_tenant_tables)
    await module_signing.start(context, client, checks.publish_publishers)
    await limits.start(context, client, alerts, checks.limiter, checks.publish_limits)
    if not locks.take_over:
        await csp_reports.start(context)
    refreshes.started(pollers, checks)
    obtain_certificates = await _start_sds(
        context, client, alerts, checks, obtain_first=locks.take_over
    )
    await checks.start(pollers.keys.request_refresh)
    if locks.take_over:
        await csp_reports.start(context)
        await start_admin()
    pollers.start(context)
    if cache is not None:
        cache.start()
    locks.replace()
    _log.info("serving Checks on %s", ", ".join(check_endpoints(config.listen.authz)))
    await obtain_certificates()
    context.reload_parts.append(partial(_prepare_alerts, delivery))
    context.reload_parts.append(partial(_prepare_audit, audit, sinks))
    reload_soon = reload.start(context, path, checks, alerts, manager.reloading)
    instance.hang_up.started(audit.reopen, pollers.refresh_soon, reload_soon)


async def _prepare_alerts(
    delivery: observability.AlertDelivery, config: model.Config
) -> PreparedPart:
    return PreparedPart(await delivery.prepare(config.alerts.webhook))


async def _prepare_audit(audit: AuditLog, sinks: AuditSinks, config: model.Config) -> PreparedPart:
    return PreparedPart(*await observability.prepare_audit(audit, sinks, config.audit))


def _make_checks(
    context: AppContext, audit: AuditLog, cache: DecisionCache | None, spans: SpanQueue | None
) -> Checks:
    in_process = context.config.listen.authz.workers == 1
    kind = InProcessChecks if in_process else WorkerChecks
    return kind(context, audit, cache, spans)


async def _start_sds(
    context: AppContext,
    vault: VaultClient,
    alerts: Alerts,
    checks: Checks,
    *,
    obtain_first: bool,
) -> Callable[[], Awaitable[None]]:
    """Start SDS if it is configured; return what obtains the certificates."""
    settings = context.config.listen.sds
    if settings is None:
        return _nothing_to_obtain
    return await sds.start(
        context,
        settings,
        vault,
        alerts,
        answer_challenges=checks.answer_challenges,
        publish_domains=checks.publish_domains,
        obtain_first=obtain_first,
    )


async def _nothing_to_obtain() -> None:
    """Without SDS there are no certificates."""


def _attach(signals: SignalThread, instance: Instance) -> None:
    """Have signals and defects of the event loop reach this instance."""
    loop, context = asyncio.get_running_loop(), instance.context
    watch_loop(loop, context.on_fault)
    signals.attach(
        partial(_call_in, loop, context.stop.set),
        partial(_call_in, loop, instance.hang_up),
    )


def _call_in(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends already
        loop.call_soon_threadsafe(callback)


def _own_families(context: AppContext, log: LogOutput) -> Iterator[Metric]:
    yield gauge("septem_ready", "1 while the sidecar is ready", float(context.health.ready))
    yield counter("septem_log_records_dropped", "Log records lost", log.dropped)
