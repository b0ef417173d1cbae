"""The one place that joins the parts: start order, the main loop, drain.

Start: log, Vault, keys, certificates, then the listeners; whatever fails before the last
listener is up ends the process with a message (INIT: "startup fails if Vault is
unreachable", SECURITY-MODEL §3). Main loop: wait for a signal. Drain: not ready first,
then no new calls, those in flight answered, audit and log written, exit 0.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from sidecar.admin.http import AdminServer
from sidecar.admin.routes import admin_routes
from sidecar.alerts import Alert, Alerts, Severity, Webhook
from sidecar.audit import AuditLog, DescriptorSink, FileSink, OtlpSink, Sink
from sidecar.authz.policy import build_snapshot
from sidecar.authz.service import CheckService, Outcome
from sidecar.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.errors import Fault
from sidecar.health import Health
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.keyring import EMPTY_RING
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher, KeyView
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.keys.sources import KeySource, KvKeySource, TransitKeySource
from sidecar.logs import LogOutput
from sidecar.metrics import Metrics, counter, gauge
from sidecar.numbers import (
    SdsNumbers,
    alert_families,
    audit_families,
    cache_families,
    key_families,
    observe_decision,
    vault_families,
)
from sidecar.reasons import Reason
from sidecar.tokens.cache import TokenCache
from sidecar.transport.aio import CHECK_SERVICE, GrpcServer, check_handlers
from sidecar.transport.h2 import H2Server
from sidecar.transport.lane import SlowLane
from sidecar.transport.unary import Limits
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault

EXIT_OK = 0
EXIT_FAULT = 1
_AUDIT_CLOSE_SECONDS = 2.0
_LOGIN_CHECK_SECONDS = 20.0
_SOCKET_UMASK = 0o117
"""Sockets and files of this process: its owner and group, nobody else."""

_log = logging.getLogger("sidecar")


def serve(config: model.Config) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    os.umask(_SOCKET_UMASK)
    log = LogOutput(config.log.level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Runtime(config, log).run())
    except Fault as fault:
        _log.critical("%s", fault)
        return EXIT_FAULT
    finally:
        log.close()
    return EXIT_OK


class Runtime:
    """One running sidecar."""

    def __init__(self, config: model.Config, log: LogOutput) -> None:
        self._config = config
        self._health = Health()
        self._metrics = Metrics()
        self._log_output = log
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._authz: GrpcServer | H2Server | None = None

    async def run(self) -> None:
        """Start, serve, drain. Raises the ``Fault`` that made a start impossible."""
        self._health.wrong("start", "not started yet")
        self._metrics.add_source(self._own_families)
        async with AsyncExitStack() as stack:
            alerts = self._start_alerts(stack)
            vault = await self._start_vault(stack)
            audit = self._open_audit(stack)
            service = self._check_service(audit)
            refresher = self._make_refresher(stack, vault, alerts, service)
            await refresher.load()
            await self._start_admin(stack, refresher)
            await self._start_sds(stack, vault, alerts, service)
            await self._start_authz(stack, service, refresher)
            self._spawn(stack, refresher.run())
            self._install_signals(audit, refresher)
            self._health.right("start")
            _log.info("serving Checks on %s", self._config.listen.authz.address)
            await self._stop.wait()
            _log.info("draining")
            self._health.wrong("drain", "shutting down")
            # What watches our readiness is given the time to see it before calls are refused.
            await asyncio.sleep(min(0.25, self._config.listen.drain_seconds / 4))
        _log.info("stopped")

    def _start_alerts(self, stack: AsyncExitStack) -> Alerts:
        settings = self._config.alerts.webhook
        alerts = Alerts(wall_seconds, with_webhook=settings is not None)
        webhook = None
        if settings is not None:
            webhook = Webhook(
                settings, alerts, now=wall_seconds, sleep=asyncio.sleep, jitter=random.random
            )
            self._spawn(stack, webhook.run())
        self._metrics.add_source(partial(alert_families, alerts, webhook))
        return alerts

    async def _start_vault(self, stack: AsyncExitStack) -> VaultClient:
        vault = VaultClient(
            self._config.vault, clock=monotonic_seconds, observe=self._metrics.count_vault_call
        )
        stack.push_async_callback(vault.close)
        self._metrics.add_source(
            lambda: vault_families(vault.token_expires_at, monotonic_seconds())
        )
        await vault.login()
        self._spawn(stack, _keep_logged_in(vault))
        return vault

    def _open_audit(self, stack: AsyncExitStack) -> AuditLog:
        settings = self._config.audit
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
            on_error=_audit_failed,
            sample_allowed=settings.sample_allowed,
        )
        stack.callback(_close_audit, audit)
        self._metrics.add_source(partial(audit_families, audit))
        return audit

    def _check_service(self, audit: AuditLog) -> CheckService:
        cache = TokenCache(self._config.tokens.cache_entries)
        self._metrics.add_source(partial(cache_families, cache))
        return CheckService(
            build_snapshot(self._config, EMPTY_RING),
            now=wall_seconds,
            elapsed_ns=elapsed_ns,
            new_id=_make_ids(),
            observe=partial(observe_decision, self._metrics, audit),
            on_fault=self._on_fault,
            cache=cache,
            lane=SlowLane(asyncio.get_running_loop()),
        )

    def _make_refresher(
        self, stack: AsyncExitStack, vault: VaultClient, alerts: Alerts, service: CheckService
    ) -> KeyRefresher:
        """Build the loop that keeps the keys of ``service`` fresh."""
        config = self._config

        def publish(view: KeyView) -> None:
            self._show_key_state(view.state)
            service.snapshot = msgspec.structs.replace(
                service.snapshot,
                ring=view.ring,
                revocations=view.revocations,
                key_state=view.state,
            )

        revocations = config.keys.revocations
        refresher = KeyRefresher(
            [self._key_source(stack, issuer, vault) for issuer in config.tokens.issuers],
            None if revocations is None else KvRevocationSource(revocations, vault),
            config.keys,
            token_seconds=config.tokens.max_lifetime_seconds + config.tokens.leeway_seconds,
            clock=monotonic_seconds,
            now=wall_seconds,
            jitter=random.random,
            publish=publish,
            on_state=partial(_say_key_state, alerts),
        )
        self._metrics.add_source(partial(key_families, refresher, monotonic_seconds))
        return refresher

    def _key_source(
        self, stack: AsyncExitStack, issuer: model.Issuer, vault: VaultClient
    ) -> KeySource:
        match issuer.keys:
            case model.VaultKvKeys():
                return KvKeySource(issuer.keys, issuer.issuer, vault)
            case model.VaultTransitKeys():
                return TransitKeySource(issuer.keys, issuer.issuer, vault)
            case model.JwksKeys():
                source = JwksKeySource(issuer.keys, issuer.issuer)
                stack.callback(source.close)
                return source

    async def _start_admin(self, stack: AsyncExitStack, refresher: KeyRefresher) -> None:
        admin = AdminServer(
            self._config.listen.admin.address,
            admin_routes(self._health, self._metrics, refresher.refresh),
            on_fault=self._on_fault,
        )
        await admin.start()
        stack.push_async_callback(admin.close)

    async def _start_authz(
        self, stack: AsyncExitStack, service: CheckService, refresher: KeyRefresher
    ) -> None:
        listen = self._config.listen.authz
        service.add_observer(partial(_nudge_on_unknown_kid, refresher))
        server: GrpcServer | H2Server
        if listen.engine == "h2":
            server = H2Server(
                listen.address,
                {f"/{CHECK_SERVICE}/Check": service.handle},
                limits=Limits(max_message_bytes=listen.max_message_bytes),
                clock=monotonic_seconds,
                on_fault=self._on_fault,
            )
        else:
            server = GrpcServer(
                listen.address,
                CHECK_SERVICE,
                check_handlers(service.handle),
                max_message_bytes=listen.max_message_bytes,
            )
        await self._start_grpc(stack, server)
        self._authz = server
        self._show_key_state(refresher.view.state)

    def _show_key_state(self, state: KeyState) -> None:
        """Say the state of the keys in /readyz, and in gRPC health as ``keys.<state>``."""
        self._health.facts["keys"] = state
        if self._authz is not None:
            words = {f"keys.{each}": each is state for each in KeyState}
            self._run_soon(self._authz.health.set_words(words))

    async def _start_sds(
        self, stack: AsyncExitStack, vault: VaultClient, alerts: Alerts, service: CheckService
    ) -> None:
        settings = self._config.listen.sds
        if settings is None:
            return
        # These bring envoy-data-plane: half a second and 16 MB that only SDS has a use for.
        from sidecar.sds.service import SECRET_SERVICE, SdsEvents, SdsService  # noqa: PLC0415
        from sidecar.wiring.certificates import Certificates  # noqa: PLC0415

        certificates = Certificates(self._config, vault, alerts)
        stack.callback(certificates.close)
        await certificates.load()
        service.challenges = certificates.board
        numbers = SdsNumbers()
        events = SdsEvents(numbers.streams, numbers.push, numbers.nack)
        sds = SdsService(certificates.store, events)
        self._metrics.add_source(numbers.families)
        self._metrics.add_source(certificates.families)
        server = GrpcServer(
            settings.address, SECRET_SERVICE, sds.handlers(), max_message_bytes=4_194_304
        )
        await self._start_grpc(stack, server)
        stack.callback(sds.drain)
        for task in certificates.tasks():
            self._spawn(stack, task)

    async def _start_grpc(self, stack: AsyncExitStack, server: GrpcServer | H2Server) -> None:
        await server.start()
        stack.push_async_callback(server.stop, self._config.listen.drain_seconds)
        self._health.on_change(
            lambda ready: self._run_soon(server.health.set_serving(serving=ready))
        )

    def _run_soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn(self, stack: AsyncExitStack, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a part's task until the drain; a defect in it ends the process, with a drain."""
        task = asyncio.create_task(coroutine)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (exc := task.exception()) is not None:
                self._on_fault(exc)
                self._stop.set()

        task.add_done_callback(ended)

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(cancel)

    def _install_signals(self, audit: AuditLog, refresher: KeyRefresher) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

        def hang_up() -> None:
            audit.reopen()
            refresher.refresh_soon()

        loop.add_signal_handler(signal.SIGHUP, hang_up)

    def _on_fault(self, exc: BaseException) -> None:
        self._metrics.count_fault()
        _log.error("a defect of ours", exc_info=exc)

    def _own_families(self) -> Any:
        yield gauge("septem_ready", "1 while requests may come", float(self._health.ready))
        yield counter("septem_log_records_dropped", "Log records lost", self._log_output.dropped)


def _say_key_state(alerts: Alerts, before: KeyState, after: KeyState, why: str) -> None:
    """Turn a change of the keys' state into the alert it is, if it is one."""
    match before, after:
        case KeyState.DEGRADED, KeyState.OUTAGE:
            return  # one source of several is back; the all-clear waits for the last
        case _, KeyState.DEGRADED:
            severity, message = Severity.CRITICAL, f"no refresh for keys.max_age_seconds: {why}"
        case _, KeyState.OUTAGE:
            severity, message = Severity.WARNING, f"keys can't be refreshed: {why}"
        case ((KeyState.OUTAGE | KeyState.DEGRADED), KeyState.ACTIVE):
            severity, message = Severity.INFO, "keys are refreshed again"
        case _:
            return
    alerts.say(Alert(severity, "signing-keys", after, message))


async def _keep_logged_in(vault: VaultClient) -> None:
    """Renew our token when that is due, where no other call comes by to do it."""
    while True:
        await asyncio.sleep(_LOGIN_CHECK_SECONDS)
        with contextlib.suppress(VaultFault):  # counted by its observer; the next call says it
            await vault.login()


def _nudge_on_unknown_kid(refresher: KeyRefresher, outcome: Outcome) -> None:
    if outcome.decision.outcome is Reason.KEY_UNKNOWN:
        refresher.nudge()


def _audit_failed(exc: OSError) -> None:
    _log.error("audit lines can't be written: %s", exc.strerror)


def _close_audit(audit: AuditLog) -> None:
    if not audit.close(_AUDIT_CLOSE_SECONDS):
        _log.error("audit lines were lost at the end: the sink does not take them")


def _make_ids() -> Callable[[], str]:
    """Make decision ids: unique, and telling nothing of how many there were before.

    A random number for the process, and a count scattered over 32 bits by an odd factor.
    """
    process = secrets.token_hex(6)
    count = secrets.randbits(32)

    def new_id() -> str:
        nonlocal count
        count += 1
        return f"{process}{count * 0x9E3779B1 & 0xFFFFFFFF:08x}"

    return new_id
