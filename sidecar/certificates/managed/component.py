"""The configured certificates: issuers, manager, probes, and the watch on revocations."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from functools import partial
from itertools import chain, repeat

from prometheus_client.core import Metric

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver, solver_place
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.admin import CertificateAdmin, CertificateAdminFault
from sidecar.certificates.managed.alerts import alert_level, alert_probe
from sidecar.certificates.managed.manager import (
    CertificateManager,
)
from sidecar.certificates.managed.metrics import (
    dns01_families,
    families,
    issuer_families,
    order_families,
    revoked_family,
)
from sidecar.certificates.managed.panel import CertificatesView, certificates_panel
from sidecar.certificates.managed.parts import (
    CertificateParts,
    make_parts,
    wanted_certificates,
)
from sidecar.certificates.managed.probe import Prober
from sidecar.certificates.managed.reloading import (
    PreparedCertificates,
    prepare_certificates,
    some_names,
)
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.managed.withdrawal import Withdrawal
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.current_task import Run
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.observability.alerts import Alerts
from sidecar.observability.panel import Ask, Panel
from sidecar.vault.client import VaultClient
from sidecar.vault.revoke import revoke_certificate
from sidecar.vault.trust import read_mount_crls

_SAY_AFTER_SECONDS = (3.0, 5.0)


class Certificates:
    """The certificates of one sidecar.

    First ``load``, then ``run`` while it serves; ``obtain`` beside them, and when that is done
    ``manager.keep_fresh``. ``prepare`` and ``adopt`` are a reload.
    """

    def __init__(self, config: model.Config, vault: VaultClient, alerts: Alerts) -> None:
        self._vault = vault
        self.solver = make_solver(config, vault)
        """Answers ACME challenges; ``None`` without an ACME issuer."""
        self.on_solver: Callable[[DistributedSolver], None] = lambda _solver: None
        """Called with the first solver, where a reload brings it."""
        self.on_polls: Callable[[Iterable[PollStatus], Iterable[PollStatus]], None] = (
            lambda _before, _after: None
        )
        """Called with what was polled before a reload, and what is after it."""
        self._tasks = KeyedTasks()
        self._next: CertificateParts | None = None
        """What a reload prepares, whose CRLs count for what it obtains."""
        self._parts = self._make_parts(config)
        self.store = CertificateStore(wall_seconds)
        self._withdrawal = Withdrawal(self.store, alerts, wall_seconds, self._parts.self_signed)
        self.manager = CertificateManager(
            wanted_certificates(config, self._parts.issuers),
            self.store,
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            on_level=partial(alert_level, alerts),
            on_revoked=self._withdrawal.handle,
        )
        self._prober = Prober(
            self._parts.targets,
            self.store,
            clock=monotonic_seconds,
            now=wall_seconds,
            sleep=asyncio.sleep,
            on_change=partial(alert_probe, alerts),
        )

    @property
    def issuers(self) -> Issuers:
        """The issuers in force."""
        return self._parts.issuers

    @property
    def configured(self) -> frozenset[str]:
        """The names of the configured certificates."""
        return self._parts.configured

    def _make_parts(
        self, config: model.Config, before: CertificateParts | None = None
    ) -> CertificateParts:
        return make_parts(
            config,
            self._vault,
            self.solver,
            self._is_revoked,
            watch=lambda settings: RevocationWatch(
                settings,
                partial(read_mount_crls, self._vault),
                sleep=asyncio.sleep,
                jitter=random.random,
            ),
            watch_stored=lambda issuer: KvWatch(issuer, sleep=asyncio.sleep, jitter=random.random),
            before=before,
        )

    async def prepare(self, config: model.Config) -> PreparedCertificates:
        """Make what other settings name and obtain its certificates; nothing changes meanwhile.

        A certificate for the same names, signed by the same CA in the same way, is not obtained
        again. Raises ``Fault``.
        """
        before = self._parts
        if self.solver is None and (solver := make_solver(config, self._vault)) is not None:
            self.solver = solver  # it stays if the reload is given up: it has nothing to answer
            self._run_tasks()
            self.on_solver(solver)
        self._next = parts = self._make_parts(config, before)
        try:
            return await prepare_certificates(before, parts, self.manager)
        finally:
            self._next = None

    def abandon(self, prepared: PreparedCertificates) -> None:
        """Close what was made for a reload that does not take place."""
        _close(prepared.parts.factory, self._parts.factory)

    def adopt(self, prepared: PreparedCertificates) -> None:
        """Serve what was prepared, and end what is no more."""
        before, self._parts = self._parts, prepared.parts
        polls = tuple(self._polls_of(before))
        place = solver_place(prepared.parts.config)
        if self.solver is not None and place not in {None, solver_place(before.config)}:
            self.solver.use_place(*place)
        for name in before.configured - prepared.parts.configured:
            self.manager.forget(name)
        for name, issuer in prepared.kept:
            self.manager.use_issuer(name, issuer)
        self.manager.adopt(prepared.obtained)
        self._withdrawal.use(prepared.parts.self_signed)
        self._prober.use(prepared.parts.targets)
        self._run_tasks()
        _close(before.factory, self._parts.factory)
        self.on_polls(polls, tuple(self.polls()))

    def believe(self, anchors: Callable[[str], bytes | None]) -> None:
        """Probe with the roots of trust bundles, which ``anchors`` returns by name."""
        self._prober.anchors = anchors

    async def load(self) -> None:
        """Read the CRLs: what is revoked is not taken from the fleet's store."""
        await asyncio.gather(*(watch.refresh() for watch in self._parts.watches.values()))
        self.store.expect(self.manager.unobtained())

    async def obtain(self, waits: Callable[[str], None]) -> None:
        """Obtain every certificate that needs no running edge.

        While that takes long, ``waits`` is called with the names that are not there yet. Raises
        ``CertificateFault``.
        """
        saying = asyncio.create_task(self._say_what_is_missing(waits))
        try:
            await self.manager.obtain_all()
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            self.store.expect_no_more()

    async def _say_what_is_missing(self, waits: Callable[[str], None]) -> None:
        for seconds in chain(_SAY_AFTER_SECONDS, repeat(_SAY_AFTER_SECONDS[-1])):
            await asyncio.sleep(seconds)
            waits(some_names([repr(name) for name in self.manager.unobtained()]))

    async def run(self) -> None:
        """Watch, probe and answer challenges until cancelled, beside ``manager.keep_fresh``."""
        self._run_tasks()
        await self._tasks.run()

    def _run_tasks(self) -> None:
        tasks: dict[Hashable, Run] = {self._prober: self._prober.run}
        for watch in self._parts.watches.values():
            tasks[watch] = partial(watch.run, self.manager)
        for stored in self._parts.stored.values():
            tasks[stored] = partial(stored.run, self.manager)
        if self.solver is not None:
            tasks[self.solver] = self.solver.run
        self._tasks.use(tasks)

    def polls(self) -> Iterator[PollStatus]:
        """Yield the status of each polled source."""
        return self._polls_of(self._parts)

    def _polls_of(self, parts: CertificateParts) -> Iterator[PollStatus]:
        yield from (watch.status for watch in parts.watches.values())
        yield from (stored.status for stored in parts.stored.values())
        if parts.targets:
            yield self._prober.status
        if self.solver is not None:
            yield self.solver.status

    def admin(self) -> CertificateAdmin:
        """Return the actions for the operator's commands."""
        return CertificateAdmin(self.manager, self._prober.healthy, self._revoke, wall_seconds)

    def panel(self, ask: Ask) -> Awaitable[Panel]:
        """Return what the operator's page says."""
        prober, configured = self._prober, self.configured
        view = CertificatesView(self.manager, configured, prober.targets, prober.views)
        return certificates_panel(view, ask)

    async def _revoke(self, issuer: str, serial: str) -> None:
        mount = self._parts.mount_of(issuer)
        if mount is None:
            raise CertificateAdminFault(
                f"issuer {issuer!r} is not a Vault PKI issuer: revoke the certificate at its CA"
            )
        await revoke_certificate(self._vault, mount, serial)
        if (watch := self._parts.watch_of(issuer)) is not None:
            await watch.refresh()

    def families(self) -> Iterator[Metric]:
        """Yield the metrics of certificates."""
        parts, factory = self._parts, self._parts.factory
        yield from families(self.manager, self.store, self._prober, configured=parts.configured)
        yield revoked_family(self.manager, self._withdrawal, configured=parts.configured)
        yield from issuer_families(factory.shared, factory.acme, factory.fallbacks)
        yield order_families(factory.slots)
        yield from dns01_families(factory.dns01)

    def close(self) -> None:
        """Place no further orders."""
        _close(self._parts.factory)

    def _is_revoked(self, issuer: str, serial: str) -> bool:
        watches = (each.watch_of(issuer) for each in (self._parts, self._next) if each is not None)
        return any(watch is not None and watch.is_revoked(serial) for watch in watches)


def _close(factory: IssuerFactory, kept: IssuerFactory | None = None) -> None:
    """Close what a factory has built, except what another one has taken over."""
    still = kept.closing() if kept is not None else []
    for each in factory.closing():
        if each not in still:
            each.close()
