"""One running sidecar: start order, the main loop, drain.

Start: log, Vault, keys, the listeners, certificates; any failure before the last certificate
is there ends the process with a message (INIT: "startup fails if Vault is unreachable",
SECURITY-MODEL §3). A certificate that takes long holds up no Check. Main loop: wait for a
signal. Drain: first not ready, then no new calls, calls in flight answered, audit and log
written, exit 0.

Each component starts itself, in its ``component.py``.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client.core import Metric

from sidecar.admin import component as admin
from sidecar.admin.routes import KeyRefresh
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
from sidecar.keys.component import KeyPollers
from sidecar.limits import component as limits
from sidecar.module_signing import component as module_signing
from sidecar.observability import component as observability
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditLog
from sidecar.observability.collectors import poll_families
from sidecar.observability.logs import LogOutput
from sidecar.observability.metrics import counter, gauge
from sidecar.runtime.hardening.process import adopt_orphans, harden_process
from sidecar.runtime.in_process import Checks, InProcessChecks
from sidecar.runtime.reload import component as reload
from sidecar.runtime.workers.component import WorkerChecks
from sidecar.transport.listener_bounds import bound_connections
from sidecar.vault import component as vault
from sidecar.vault.client import VaultClient

EXIT_OK = 0
EXIT_FAULT = 1
_SOCKET_UMASK = 0o117
"""Only the owner and the group may use sockets and files of this process."""

_log = logging.getLogger("sidecar")


class HangUp:
    """What is done for SIGHUP; one that comes during the start is kept until it is over."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._then: tuple[Callable[[], None], ...] = ()
        self._is_due = False

    def __call__(self) -> None:
        """Have the audit file opened anew, everything read that is polled, and the settings."""
        self._is_due = not self._then
        if self._is_due:
            return
        for each in self._then:
            each()
        for refresh in self._context.refreshers:
            self._context.run_soon(refresh())

    def started(self, *then: Callable[[], None]) -> None:
        """Do this from now on."""
        self._then = then
        if self._is_due:
            self()


def serve(config: model.Config, path: Path) -> int:
    """Run until SIGTERM or SIGINT; return the exit code.

    ``path`` is the file of the configuration, for a reload.
    """
    os.umask(_SOCKET_UMASK)
    hardening = harden_process(), adopt_orphans()
    log = LogOutput(config.log.level)
    for each in hardening:
        if each.missing:
            _log.warning("this process is not fully hardened: %s", each)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_healthy = runner.run(run(config, log, path.absolute()))
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
        log.close()
    return EXIT_OK if is_healthy else EXIT_FAULT


async def run(config: model.Config, log: LogOutput, path: Path) -> bool:
    """Start, serve, drain. Raises the ``Fault`` that prevented the start.

    Returns false where a bug ended it, and not a signal.
    """
    context = AppContext(config)
    watch_loop(asyncio.get_running_loop(), context.on_fault)
    context.bounds = bound_connections(config.listen)
    context.health.set_unhealthy("start", "not started yet")
    context.metrics.add_source(lambda: _own_families(context, log))
    context.metrics.add_source(lambda: poll_families(context.polls))
    hang_up = _install_signals(context)
    async with context.stack:
        if await _unless_stopped(context, _start(context, hang_up, path)):
            await context.stop.wait()
            _log.info("draining")
            context.health.set_unhealthy("drain", "shutting down")
            # What watches our readiness is given the time to see it before calls are refused.
            await asyncio.sleep(config.listen.drain_notice_seconds)
    _log.info("stopped")
    return not context.failed


async def _unless_stopped(context: AppContext, start: Coroutine[Any, Any, None]) -> bool:
    """Start; false where a signal or a defect ended that. Raises what the start raises."""
    starting = asyncio.create_task(start)
    stopping = asyncio.create_task(context.stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return True
    _log.info("stopped while it starts")
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


async def _start(context: AppContext, hang_up: HangUp, path: Path) -> None:
    """Start everything, in its order."""
    config = context.config
    delivery = observability.AlertDelivery(config.alerts.webhook, context.metrics, context.spawn)
    alerts = delivery.alerts
    audit = observability.start_audit(
        config.audit, context.metrics, context.health, context.stack, context.spawn
    )
    client = await vault.start(context)
    cache = decision_cache.make(context, audit, alerts)
    checks = _make_checks(context, audit, cache)
    pollers = await keys.start(
        context,
        client,
        alerts,
        publish=checks.publish,
        publish_revocations=checks.publish_revocations,
    )
    await module_signing.start(context, client, checks.publish_publishers)
    await limits.start(context, client, alerts, checks.limiter, checks.publish_limits)
    await csp_reports.start(context)
    await admin.start(context, SharedRun(partial(_refresh_keys, context, pollers, checks)))
    obtain_certificates = await _start_sds(context, client, alerts, checks)
    await checks.start(pollers.keys.request_refresh)
    pollers.start(context)
    if cache is not None:
        cache.start()
    _log.info("serving Checks on %s", ", ".join(check_endpoints(config.listen.authz)))
    await obtain_certificates()
    context.reload_parts.append(partial(_prepare_alerts, delivery))
    context.reload_parts.append(partial(_prepare_audit, audit))
    reload_soon = reload.start(context, path, checks, alerts)
    context.health.set_healthy("start")
    hang_up.started(audit.reopen, pollers.refresh_soon, reload_soon)


async def _prepare_alerts(
    delivery: observability.AlertDelivery, config: model.Config
) -> PreparedPart:
    return PreparedPart(await delivery.prepare(config.alerts.webhook))


async def _prepare_audit(audit: AuditLog, config: model.Config) -> PreparedPart:
    def adopt() -> None:
        audit.sample_allowed = config.audit.sample_allowed

    return PreparedPart(adopt)


def _make_checks(context: AppContext, audit: AuditLog, cache: DecisionCache | None) -> Checks:
    in_process = context.config.listen.authz.workers == 1
    kind = InProcessChecks if in_process else WorkerChecks
    return kind(context, audit, cache)


async def _refresh_keys(context: AppContext, keys: KeyPollers, checks: Checks) -> KeyRefresh:
    """Read every source now, and wait until the result applies in every process."""
    state = await keys.refresh()
    for refresh in context.refreshers:
        await refresh()
    statuses = (*keys.statuses, *context.refreshed)
    problems = tuple(status.problem for status in statuses if status.problem)
    return KeyRefresh(state, keys.complete and not problems, await checks.settled(), problems)


async def _start_sds(
    context: AppContext, vault: VaultClient, alerts: Alerts, checks: Checks
) -> Callable[[], Awaitable[None]]:
    """Start SDS if it is configured; return what obtains the certificates."""
    settings = context.config.listen.sds
    if settings is None:
        return _nothing_to_obtain
    # It imports envoy-data-plane: half a second and 16 MB that only SDS needs.
    from sidecar.sds import component as sds  # noqa: PLC0415

    return await sds.start(
        context,
        settings,
        vault,
        alerts,
        answer_challenges=checks.answer_challenges,
        publish_domains=checks.publish_domains,
    )


async def _nothing_to_obtain() -> None:
    """Without SDS there are no certificates."""


def _install_signals(context: AppContext) -> HangUp:
    """Take signals, before anything is started: what nobody takes would end the process."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, context.stop.set)
    hang_up = HangUp(context)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    return hang_up


def _own_families(context: AppContext, log: LogOutput) -> Iterator[Metric]:
    yield gauge("septem_ready", "1 while the sidecar is ready", float(context.health.ready))
    yield counter("septem_log_records_dropped", "Log records lost", log.dropped)
