"""The configured certificates: issuers, manager, probes, and the watch on revocations."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any

from prometheus_client.core import Metric

from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.admin import CertificateAdmin, CertificateAdminFault
from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.metrics import (
    families,
    issuer_families,
    order_families,
    revoked_family,
)
from sidecar.certificates.managed.probe import Prober, Target
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.managed.withdrawal import Withdrawal
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.vault.client import VaultClient
from sidecar.vault.revoke import revoke_certificate
from sidecar.vault.trust import read_mount_crls
from workload.x509.addresses import read_addresses

_SAY_AFTER_SECONDS = (3.0, 5.0)
_MAX_SHOWN = 5


class Certificates:
    """The certificates of one sidecar.

    First ``load``, then ``tasks`` while it serves; ``obtain`` beside them, and when that is done
    ``manager.keep_fresh``.
    """

    def __init__(self, config: model.Config, vault: VaultClient, alerts: Alerts) -> None:
        self._vault = vault
        self._mounts = {
            each.name: each.mount
            for each in config.issuers
            if isinstance(each, model.VaultPkiIssuer)
        }
        self._configured = frozenset(each.name for each in config.certificates)
        self.solver = make_solver(config, vault)
        """Answers ACME challenges; ``None`` without an ACME issuer."""
        self._watches = {
            each.name: RevocationWatch(each, partial(read_mount_crls, vault), sleep=asyncio.sleep)
            for each in config.issuers
            if isinstance(each, model.VaultPkiIssuer) and each.crl_poll_seconds
        }
        factory = IssuerFactory(config, vault, self.solver, self._is_revoked)
        self.issuers = factory.make()
        self._acme, self._shared = factory.acme, factory.shared
        self._fallbacks = factory.fallbacks
        self._slots = factory.slots
        self.store = CertificateStore(wall_seconds)
        self._withdrawal = Withdrawal(
            self.store,
            alerts,
            wall_seconds,
            [each.name for each in config.certificates if each.when_revoked == "self_signed"],
        )
        self.manager = CertificateManager(
            wanted_certificates(config, self.issuers),
            self.store,
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            on_level=partial(_alert_level, alerts),
            on_revoked=self._withdrawal.handle,
        )
        self._kv = [KvWatch(each, sleep=asyncio.sleep) for each in factory.kv]
        self._prober = Prober(
            {
                each.name: Target(
                    each.probe, (each.common_name or "probe").replace("*", "probe", 1)
                )
                for each in config.certificates
                if each.probe is not None
            },
            self.store,
            clock=monotonic_seconds,
            sleep=asyncio.sleep,
            on_change=partial(_alert_probe, alerts),
        )

    async def load(self) -> None:
        """Read the CRLs: what is revoked is not taken from the fleet's store."""
        await asyncio.gather(*(watch.refresh() for watch in self._watches.values()))
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
            names = self.manager.unobtained()
            shown = ", ".join(map(repr, names[:_MAX_SHOWN]))
            more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
            waits(f"{shown}{more}")

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield the tasks that run until the drain, beside ``manager.keep_fresh``."""
        yield self._prober.run()
        for watch in self._watches.values():
            yield watch.run(self.manager)
        for stored in self._kv:
            yield stored.run(self.manager)
        if self.solver is not None:
            yield self.solver.run()

    def polls(self) -> Iterator[PollStatus]:
        """Yield the status of each polled source."""
        yield from (watch.status for watch in self._watches.values())
        yield from (stored.status for stored in self._kv)
        if self._prober.targets:
            yield self._prober.status
        if self.solver is not None:
            yield self.solver.status

    def admin(self) -> CertificateAdmin:
        """Return the actions for the operator's commands."""
        return CertificateAdmin(self.manager, self._prober.healthy, self._revoke, wall_seconds)

    async def _revoke(self, issuer: str, serial: str) -> None:
        mount = self._mounts.get(issuer)
        if mount is None:
            raise CertificateAdminFault(
                f"issuer {issuer!r} is not a Vault PKI issuer: revoke the certificate at its CA"
            )
        await revoke_certificate(self._vault, mount, serial)
        if (watch := self._watches.get(issuer)) is not None:
            await watch.refresh()

    def families(self) -> Iterator[Metric]:
        """Yield the metrics of certificates."""
        yield from families(self.manager, self.store, self._prober, configured=self._configured)
        yield revoked_family(self.manager, self._withdrawal, configured=self._configured)
        yield from issuer_families(self._shared, self._acme, self._fallbacks)
        yield order_families(self._slots)

    def close(self) -> None:
        """Place no further orders."""
        for issuer in self._acme:
            issuer.close()

    def _is_revoked(self, issuer: str, serial: str) -> bool:
        watch = self._watches.get(issuer)
        return watch is not None and watch.is_revoked(serial)


def wanted_certificates(config: model.Config, issuers: Issuers) -> Iterator[tuple[Order, Issuer]]:
    """Yield the order and the issuer of each configured certificate."""
    for each in config.certificates:
        first = [each.common_name] if each.common_name is not None else []
        names = tuple(dict.fromkeys((*first, *each.alt_names)))
        uris = (each.spiffe_id,) if each.spiffe_id is not None else ()
        addresses = tuple(map(str, read_addresses(each.ip_addresses)))
        yield Order(each.name, names, uris, ip_sans=addresses), issuers[each.issuer]


def _alert_level(alerts: Alerts, managed: ManagedCertificate, before: Level) -> None:
    """Send the alert for a change of level."""
    why = f": {managed.last_fault}" if managed.last_fault else ""
    match managed.level:
        case Level.WARNING:
            severity, message = Severity.WARNING, f"half of the time to renew it has passed{why}"
        case Level.CRITICAL:
            severity, message = Severity.CRITICAL, f"a tenth of the time to renew it is left{why}"
        case Level.ENDED:
            severity, message = Severity.CRITICAL, f"it has expired and is no longer served{why}"
        case Level.FRESH:
            severity, message = Severity.INFO, f"it is renewed; its level was {before}"
    alerts.say(Alert(severity, f"certificate/{managed.name}", managed.level, message))


def _alert_probe(alerts: Alerts, name: str, is_healthy: bool, seen: str) -> None:
    if is_healthy:
        alert = Alert(
            Severity.INFO, f"certificate/{name}", "served", "the listener serves it again"
        )
    else:
        words = f"the listener does not serve the certificate that it was given: {seen}"
        alert = Alert(Severity.WARNING, f"certificate/{name}", "not served", words)
    alerts.say(alert)
