"""The one place that joins the parts: start order, the main loop, drain.

Start: log, Vault, keys, certificates, then the listeners; whatever fails before the last
listener is up ends the process with a message (INIT: "startup fails if Vault is
unreachable", SECURITY-MODEL §3). Main loop: wait for a signal. Drain: not ready first,
then no new calls, those in flight answered, audit and log written, exit 0.
"""

import asyncio
import logging
import os
import random
import secrets
import signal
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client.core import GaugeMetricFamily, Metric

from sidecar.admin.http import AdminServer
from sidecar.admin.routes import admin_routes
from sidecar.audit import AuditEntry, AuditLog, DescriptorSink, FileSink, Sink
from sidecar.authz.policy import build_snapshot
from sidecar.authz.service import CheckService, Outcome
from sidecar.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.errors import Fault
from sidecar.health import Health
from sidecar.keys.keyring import KeyRing, VerificationKey
from sidecar.keys.sources import KvKeySource
from sidecar.logs import LogOutput
from sidecar.metrics import Metrics, counter, gauge
from sidecar.reasons import ANSWERS, Reason
from sidecar.transport.aio import CHECK_SERVICE, GrpcServer, check_handlers
from sidecar.vault.client import VaultClient

EXIT_OK = 0
EXIT_FAULT = 1
_AUDIT_CLOSE_SECONDS = 2.0
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

    async def run(self) -> None:
        """Start, serve, drain. Raises the ``Fault`` that made a start impossible."""
        self._health.wrong("start", "not started yet")
        async with AsyncExitStack() as stack:
            vault = VaultClient(
                self._config.vault,
                clock=monotonic_seconds,
                observe=self._metrics.count_vault_call,
            )
            stack.push_async_callback(vault.close)
            await vault.login()
            ring = await self._load_keys(vault)
            audit = self._open_audit()
            stack.callback(self._close_audit, audit)
            self._metrics.add_source(partial(self._own_metrics, audit))
            service = self._check_service(ring, audit)
            await self._start_admin(stack)
            await self._start_sds(stack, vault)
            await self._start_authz(stack, service)
            self._install_signals(audit)
            self._health.right("start")
            _log.info("serving Checks on %s", self._config.listen.authz.address)
            await self._stop.wait()
            _log.info("draining")
            self._health.wrong("drain", "shutting down")
            # What watches our readiness is given the time to see it before calls are refused.
            await asyncio.sleep(min(0.25, self._config.listen.drain_seconds / 4))
        _log.info("stopped")

    async def _load_keys(self, vault: VaultClient) -> KeyRing:
        keys: list[VerificationKey] = []
        for issuer in self._config.tokens.issuers:
            source = KvKeySource(issuer.keys, issuer.issuer, vault)
            fetched = await source.fetch()
            keys += fetched.keys
            _log.info(
                "loaded %d key(s) from %s, version %d",
                len(fetched.keys),
                source.name,
                fetched.version,
                extra={"issuer": issuer.issuer},
            )
        ring = KeyRing(keys)
        self._metrics.add_source(partial(_key_metrics, ring))
        return ring

    def _check_service(self, ring: KeyRing, audit: AuditLog) -> CheckService:
        return CheckService(
            build_snapshot(self._config, ring),
            now=wall_seconds,
            elapsed_ns=elapsed_ns,
            new_id=_new_id,
            observe=partial(_observe, self._metrics, audit),
            on_fault=self._on_fault,
        )

    def _open_audit(self) -> AuditLog:
        settings = self._config.audit
        match settings.to:
            case model.FileAudit(path=path):
                sink: Sink = FileSink(Path(path))
            case model.StdoutAudit():
                sink = DescriptorSink()
        return AuditLog(sink, queue_lines=settings.queue_lines, on_error=_audit_failed)

    def _close_audit(self, audit: AuditLog) -> None:
        if not audit.close(_AUDIT_CLOSE_SECONDS):
            _log.error("audit lines were lost at the end: the sink does not take them")

    async def _start_admin(self, stack: AsyncExitStack) -> None:
        admin = AdminServer(
            self._config.listen.admin.address,
            admin_routes(self._health, self._metrics),
            on_fault=self._on_fault,
        )
        await admin.start()
        stack.push_async_callback(admin.close)

    async def _start_authz(self, stack: AsyncExitStack, service: CheckService) -> None:
        listen = self._config.listen.authz
        server = GrpcServer(
            listen.address,
            CHECK_SERVICE,
            check_handlers(service.handle),
            max_message_bytes=listen.max_message_bytes,
        )
        await self._start_grpc(stack, server)

    async def _start_sds(self, stack: AsyncExitStack, vault: VaultClient) -> None:
        settings = self._config.listen.sds
        if settings is None:
            return
        # These bring envoy-data-plane: half a second and 16 MB that only SDS has a use for.
        from sidecar.certs.manager import CertificateManager  # noqa: PLC0415
        from sidecar.certs.pki_issuer import PkiIssuer  # noqa: PLC0415
        from sidecar.certs.store import CertificateStore  # noqa: PLC0415
        from sidecar.sds.service import SECRET_SERVICE, SdsEvents, SdsService  # noqa: PLC0415

        store = CertificateStore(wall_seconds)
        manager = CertificateManager(
            self._config.certificates,
            PkiIssuer(vault, wall_seconds),
            store,
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
        )
        await manager.obtain_all()
        numbers = _SdsNumbers()
        sds = SdsService(store, SdsEvents(numbers.streams, numbers.push, numbers.nack))
        self._metrics.add_source(numbers.families)
        self._metrics.add_source(
            lambda: _certificate_metrics(
                ((name, held.not_after) for name, held in store), manager.failures
            )
        )
        server = GrpcServer(
            settings.address, SECRET_SERVICE, sds.handlers(), max_message_bytes=4_194_304
        )
        await self._start_grpc(stack, server)
        stack.callback(sds.drain)
        self._spawn(stack, manager.keep_fresh())

    async def _start_grpc(self, stack: AsyncExitStack, server: GrpcServer) -> None:
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

    def _install_signals(self, audit: AuditLog) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, audit.reopen)

    def _on_fault(self, exc: BaseException) -> None:
        self._metrics.count_fault()
        _log.error("a defect of ours", exc_info=exc)

    def _own_metrics(self, audit: AuditLog) -> Iterator[Metric]:
        yield gauge("septem_ready", "1 while requests may come", float(self._health.ready))
        yield counter("septem_audit_lines_written", "Audit lines written", audit.written)
        yield counter(
            "septem_audit_lines_dropped", "Audit lines lost to a full queue", audit.dropped
        )
        yield counter("septem_audit_write_errors", "Failed writes of audit lines", audit.errors)
        yield gauge("septem_audit_lines_queued", "Audit lines that wait", audit.queued)
        yield counter("septem_log_records_dropped", "Log records lost", self._log_output.dropped)


class _SdsNumbers:
    """What SDS counts."""

    def __init__(self) -> None:
        self._streams = 0
        self._pushed = 0
        self._nacks = 0

    def streams(self, count: int) -> None:
        self._streams = count

    def push(self, count: int) -> None:
        self._pushed += count

    def nack(self, node: str, message: str) -> None:
        self._nacks += 1
        _log.error("Envoy %s refuses a secret: %s", node[:128], message)

    def families(self) -> Iterator[Metric]:
        yield gauge("septem_sds_streams", "Open SDS streams", self._streams)
        yield counter("septem_sds_resources_pushed", "Secrets sent", self._pushed)
        yield counter("septem_sds_nacks", "Secrets that Envoy refused", self._nacks)


def _observe(metrics: Metrics, audit: AuditLog, outcome: Outcome) -> None:
    """Count and record one decision."""
    decision, view = outcome.decision, outcome.view
    word = "allow" if decision.allowed else "deny"
    latency_us = outcome.latency_ns // 1000
    metrics.count_check(word, decision.outcome, decision.route, latency_us)
    claims = decision.token.claims if decision.token is not None else None
    audit.record(
        AuditEntry(
            at=outcome.at_seconds,
            decision_id=outcome.decision_id,
            outcome=word,
            reason=decision.outcome,
            status=200 if decision.allowed else ANSWERS[Reason(decision.outcome)].status,
            route=decision.route,
            latency_us=latency_us,
            method=decision.method,
            host=decision.host,
            path=decision.path,
            tenant=claims.tenant_id if claims is not None else "",
            subject=claims.subject if claims is not None else "",
            token_id=claims.token_id if claims is not None else "",
            kid=decision.token.kid if decision.token is not None else "",
            source=view.source if view is not None else "",
            principal=view.principal if view is not None else "",
            detail=decision.detail,
        )
    )


def _key_metrics(ring: KeyRing) -> Iterable[Metric]:
    family = GaugeMetricFamily("septem_keys", "Verification keys", labels=["issuer"])
    counts: dict[str, int] = {}
    for key in ring:
        counts[str(key.issuer)] = counts.get(str(key.issuer), 0) + 1
    for issuer, count in counts.items():
        family.add_metric([issuer], count)
    return (family,)


def _certificate_metrics(held: Iterable[tuple[str, float]], failures: int) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "septem_certificate_not_after_timestamp_seconds", "End of a certificate", labels=["name"]
    )
    for name, not_after in held:
        family.add_metric([name], not_after)
    yield family
    yield counter("septem_certificate_renewal_failures", "Renewals that failed", failures)


def _audit_failed(exc: OSError) -> None:
    _log.error("audit lines can't be written: %s", exc.strerror)


def _new_id() -> str:
    return secrets.token_hex(8)
