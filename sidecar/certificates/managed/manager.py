"""Obtains certificates and renews them: one loop and one schedule for all of them.

What is due next for a certificate is a renewal, a question to its issuer when to renew, or a
check of how close its end is (``schedule``). Each runs as a task of its own, and how many are
under way is bounded by each issuer for itself (``issuers.slots``), so that a slow CA or a stuck
order delays no other certificate. A failed renewal is retried with back-off, and the current
certificate stays in service.

Longer than other files: everything here changes the one table of managed certificates.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator

from sidecar.certificates.issuers.base import FindsExisting, Issuer, Order
from sidecar.certificates.managed.advice import follow_advice
from sidecar.certificates.managed.certificate import ManagedCertificate, RevocationStep
from sidecar.certificates.managed.obtaining import (
    CertificateFault,
    ObtainedCertificate,
    named_fault,
    obtain,
)
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.schedule import RenewalSchedule
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from workload.x509.material import Material
from workload.x509.renewal import renew_at, retry_after

_log = logging.getLogger("sidecar.certificates")
_MAX_NAMED_FAULTS = 5

OnLevel = Callable[[ManagedCertificate, Level], None]
"""Called with a certificate, whose ``level`` is the new one, and the level before."""
OnRevoked = Callable[[ManagedCertificate, RevocationStep], None]
"""Called with a certificate that is revoked, and what has happened to it."""


class CertificateManager:
    """The managed certificates and their schedule."""

    def __init__(
        self,
        wanted: Iterable[tuple[Order, Issuer]],
        store: CertificateStore,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        on_level: OnLevel = lambda _managed, _before: None,
        on_revoked: OnRevoked = lambda _managed, _what: None,
    ) -> None:
        self._store = store
        self._now = now
        self._jitter = jitter
        self._on_level = on_level
        self._on_revoked = on_revoked
        self._held: dict[str, ManagedCertificate] = {}
        self._schedule = RenewalSchedule(self._held, now=now, sleep=sleep)
        self.renewals = 0
        self.failures = 0
        for order, issuer in wanted:
            self._schedule.plan(
                self._held.setdefault(order.name, ManagedCertificate(order, issuer))
            )

    def __iter__(self) -> Iterator[ManagedCertificate]:
        """Iterate over the managed certificates."""
        return iter(tuple(self._held.values()))

    def get(self, name: str) -> ManagedCertificate | None:
        """Return the managed certificate of a name."""
        return self._held.get(name)

    def unobtained(self) -> list[str]:
        """Return the names of the certificates that were not obtained yet."""
        return sorted(each.name for each in self if each.material is None)

    async def obtain_all(self) -> None:
        """Obtain every certificate once, but order none whose CA must reach our edge first.

        Of those, certificates that the fleet already has are used, and the rest is ordered by
        ``keep_fresh`` a little later. Raises ``CertificateFault`` with what failed; after a
        few faults the rest is not tried, because the cause is probably the same.
        """
        faults: list[CertificateFault] = []
        waiting: set[asyncio.Task[None]] = set()

        async def obtain(managed: ManagedCertificate) -> None:
            if len(faults) >= _MAX_NAMED_FAULTS:
                return
            try:
                await self._start(managed)
            except CertificateFault as fault:
                faults.append(fault)
                if len(faults) == _MAX_NAMED_FAULTS:
                    for each in waiting - {asyncio.current_task()}:
                        each.cancel()

        waiting |= {asyncio.create_task(obtain(managed)) for managed in self}
        try:
            ended = await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            for each in waiting:
                each.cancel()
        if faults:
            raise CertificateFault("; ".join(map(str, faults[:_MAX_NAMED_FAULTS])))
        for outcome in ended:
            if outcome is not None:
                raise outcome

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        """Obtain one certificate now, serve it, and manage it from then on.

        Raises ``CertificateFault``; then nothing is managed that was not managed before. The
        caller makes only one call at a time for a name.
        """
        managed = self._held.get(order.name) or ManagedCertificate(order, issuer)
        managed.order, managed.issuer = order, issuer
        self._held[order.name] = managed
        try:
            return await self._obtain(managed)
        except BaseException:
            if managed.material is None and self._held.get(order.name) is managed:
                del self._held[order.name]
            raise

    async def order(self, order: Order, issuer: Issuer) -> ObtainedCertificate:
        """Obtain a certificate for a reload; nothing is served or managed before ``adopt``.

        An issuer that finds what the fleet has does not return what is served under this name
        now: it is another issuer's, or for other names. Raises ``CertificateFault``.
        """
        managed, held = ManagedCertificate(order, issuer), self._held.get(order.name)
        replaces = held.material if held and isinstance(issuer, FindsExisting) else None
        return ObtainedCertificate(managed, await obtain(managed, replaces))

    def use_issuer(self, name: str, issuer: Issuer) -> None:
        """Have a certificate renewed by this issuer from now on."""
        if (managed := self._held.get(name)) is not None:
            managed.issuer = issuer

    def adopt(self, obtained: Iterable[ObtainedCertificate]) -> None:
        """Serve and manage what was obtained for a reload."""
        for managed, material in obtained:
            self._held[managed.name] = managed
            self._serve(managed, material)
            managed.ask_at = self._now()  # the loop asks for advice: nothing waits here
            self._schedule.plan(managed)

    def forget(self, name: str) -> None:
        """Stop managing and serving a certificate."""
        self._held.pop(name, None)
        self._store.remove(name)

    def renew_soon(self, name: str) -> bool:
        """Let the loop renew a certificate at once; return False for an unknown name."""
        managed = self._held.get(name)
        if managed is not None:
            managed.try_at = self._now()
            self._schedule.plan(managed)
        return managed is not None

    def renew_by_hand(self, name: str) -> float:
        """Renew for an operator; return the seconds to wait, 0 if the order is on its way.

        However often this is called, only one order is under way, and one that is answered
        begins every ``HAND_PAUSE_SECONDS``.
        """
        if (managed := self._held.get(name)) is None:
            return 0.0
        pause = managed.order_by_hand(self._now())
        self._schedule.plan(managed)
        return pause

    def revoked(self, name: str) -> None:
        """Stop serving a certificate that its CA has revoked, and order another at once."""
        if self._end_revoked(name):
            managed, now = self._held[name], self._now()
            managed.try_at = managed.not_before(now, now)
            self._schedule.plan(managed)

    def revoked_by_hand(self, name: str) -> None:
        """Do the same for an operator: order at once, but only once a ``HAND_PAUSE_SECONDS``."""
        if not self._end_revoked(name):
            return
        managed, now = self._held[name], self._now()
        managed.try_at = now + managed.pause_seconds(managed.replaced_at, now)
        managed.replaced_at = managed.try_at
        self._schedule.plan(managed)

    def _end_revoked(self, name: str) -> bool:
        managed = self._held.get(name)
        if managed is None or managed.revoked:
            return False
        managed.revoked, managed.revoked_since = True, self._now()
        self._store.remove(name)
        _log.error(
            "certificate was revoked and is given to no other Envoy", extra={"certificate": name}
        )
        self._on_revoked(managed, RevocationStep.FOUND)
        return True

    async def keep_fresh(self) -> None:
        """Renew each certificate when it is due, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                while (managed := self._schedule.next_due()) is not None:
                    managed.running = True
                    tasks.create_task(self._run_due(managed))
                await self._schedule.wait()

    async def _run_due(self, managed: ManagedCertificate) -> None:
        """Do what is due. The current certificate is served until it expires."""
        try:
            self._look_at_level(managed)
            now = self._now()
            if now >= managed.try_at:
                await self._obtain(managed)
            elif now >= managed.ask_at:
                await follow_advice(managed, now)
        except CertificateFault as fault:
            self._failed(managed, str(fault), fault)
            _log.warning(
                "certificate was not renewed: %s", fault, extra={"certificate": managed.name}
            )
        except Exception as exc:  # noqa: BLE001 - a task's edge: one certificate's defect ends no other's
            self._failed(managed, type(exc).__name__, None)
            _log.exception(
                "certificate was not renewed: internal error (a bug in the sidecar)",
                extra={"certificate": managed.name},
            )
        finally:
            managed.running = False
            self._schedule.plan(managed)

    def _look_at_level(self, managed: ManagedCertificate) -> None:
        """Report a change of level once, and stop serving a certificate that has expired."""
        before, now = managed.level, self._now()
        managed.level = managed.level_now(now)
        if managed.level is Level.ENDED and managed.material is not None:
            managed.material = None
            self._store.announce(managed.name)
            _log.error(
                "certificate has expired and is no longer served",
                extra={"certificate": managed.name},
            )
        if managed.level is not before:
            self._on_level(managed, before)

    def _failed(self, managed: ManagedCertificate, why: str, fault: Fault | None) -> None:
        now = self._now()
        self.failures += 1
        managed.failed(why, now, is_outage=fault is not None and fault.is_outage)
        if managed.revoked:
            self._on_revoked(managed, RevocationStep.NOT_REPLACED)
        asked_seconds = None if fault is None else fault.retry_after_seconds
        left = managed.seconds_left(now)
        usual = retry_after(managed.failures, left, self._jitter(), asked_seconds)
        managed.try_at = now + managed.pause_after(fault, usual)

    async def _start(self, managed: ManagedCertificate) -> None:
        issuer = managed.issuer
        if not isinstance(issuer, FindsExisting) or not issuer.edge_seconds:
            await self._obtain(managed)
            return
        try:
            found = await issuer.find(managed.order)
        except Fault as fault:
            raise named_fault(managed, fault) from fault
        if found is not None:
            await self._take(managed, found)
        else:
            managed.try_at = self._now() + issuer.edge_seconds
            self._schedule.plan(managed)

    async def _obtain(self, managed: ManagedCertificate) -> Material:
        material = await obtain(managed, managed.material)
        await self._take(managed, material)
        return material

    async def _take(self, managed: ManagedCertificate, material: Material) -> None:
        """Serve a certificate, and schedule what is due next."""
        if self._held.get(managed.name) is not managed:
            return  # forgotten, or replaced by a reload, while it was ordered
        self._serve(managed, material)
        await follow_advice(managed, self._now())
        self._schedule.plan(managed)

    def _serve(self, managed: ManagedCertificate, material: Material) -> None:
        name, now = managed.name, self._now()
        self._store.put(name, material)
        self.renewals += 1
        before, was_revoked = managed.level, managed.revoked
        managed.obtained(material, now)
        due = renew_at(material.not_before, material.not_after, self._jitter())
        managed.renew_at = managed.try_at = managed.not_before(due, now)
        if before is not Level.FRESH:
            self._on_level(managed, before)
        if was_revoked:
            self._on_revoked(managed, RevocationStep.REPLACED)
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": name, "seconds": material.not_after - now},
        )
