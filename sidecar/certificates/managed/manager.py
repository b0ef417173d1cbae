"""Obtains certificates and keeps them fresh: one loop and one queue, however many there are.

Each certificate has its next turn in a heap: a renewal, a question to its issuer when to
renew, or a look at how near its end is. A turn runs as a task of its own, so that a slow CA
holds up no other; a failed renewal is tried again with back-off, displaces nothing and stops
nobody.
"""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Any

from sidecar.certificates.issuers.base import FindsExisting, Issuer, Order, advise
from sidecar.certificates.managed.certificate import NEVER, ManagedCertificate
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from workload.x509.material import Material
from workload.x509.renewal import MIN_PAUSE_SECONDS, renew_at, retry_after

_log = logging.getLogger("sidecar.certificates")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""
_CONCURRENT = 4
"""Issuances at once: as many as Vault's bridge has threads."""
_MAX_NAMED_FAULTS = 5
_SPARE_TURNS = 64
_ASK_AGAIN_SECONDS = 3600.0
"""After a question about renewal that nobody answered."""

OnLevel = Callable[[ManagedCertificate, Level], None]
"""Called with a holding, whose ``level`` is the new one, and the level before."""


class CertificateFault(Fault):
    """A certificate can't be had; retryable where its cause is."""

    def __init__(self, message: str, cause: Fault | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.retryable = cause.retryable
            self.retry_after_seconds = cause.retry_after_seconds


class CertificateManager:
    """The certificates that are kept, and when each has its turn."""

    def __init__(
        self,
        wanted: Iterable[tuple[Order, Issuer]],
        store: CertificateStore,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        on_level: OnLevel = lambda _holding, _before: None,
    ) -> None:
        self._store = store
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._on_level = on_level
        self._gate = asyncio.Semaphore(_CONCURRENT)
        self._held: dict[str, ManagedCertificate] = {}
        self._turns: list[tuple[float, int, ManagedCertificate]] = []
        self._sequence = count()
        self._wake = asyncio.Event()
        self.renewals = 0
        self.failures = 0
        for order, issuer in wanted:
            self._plan(self._held.setdefault(order.name, ManagedCertificate(order, issuer)))

    def __iter__(self) -> Iterator[ManagedCertificate]:
        """Walk what is kept."""
        return iter(tuple(self._held.values()))

    def get(self, name: str) -> ManagedCertificate | None:
        """Return what is kept under a name."""
        return self._held.get(name)

    async def obtain_all(self) -> None:
        """Obtain every certificate once, but order none whose CA must see our edge first.

        Of those, what the fleet has is taken, and the rest is ordered by ``keep_fresh`` a
        little later. Raises ``CertificateFault`` with what failed; after a few faults the
        rest is not tried, for they have one cause.
        """
        faults: list[CertificateFault] = []

        async def obtain(managed: ManagedCertificate) -> None:
            async with self._gate:
                if len(faults) < _MAX_NAMED_FAULTS:
                    try:
                        await self._start(managed)
                    except CertificateFault as fault:
                        faults.append(fault)

        await asyncio.gather(*(obtain(managed) for managed in self))
        if faults:
            raise CertificateFault("; ".join(map(str, faults[:_MAX_NAMED_FAULTS])))

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        """Obtain one certificate now, serve it and keep it from then on.

        Raises ``CertificateFault``; then nothing is kept that was not kept before. One call
        a name at a time is the caller's affair.
        """
        managed = self._held.get(order.name) or ManagedCertificate(order, issuer)
        managed.order, managed.issuer = order, issuer
        self._held[order.name] = managed
        try:
            async with self._gate:
                return await self._obtain(managed)
        except BaseException:
            if managed.material is None and self._held.get(order.name) is managed:
                del self._held[order.name]
            raise

    def forget(self, name: str) -> None:
        """Keep a certificate no more, and serve it no more."""
        self._held.pop(name, None)
        self._store.remove(name)

    def renew_soon(self, name: str) -> bool:
        """Have the loop renew a certificate at once; false for a name that is not kept."""
        managed = self._held.get(name)
        if managed is not None:
            managed.try_at = self._now()
            self._plan(managed)
        return managed is not None

    def renew_by_hand(self, name: str) -> float:
        """Have one ordered for an operator; returns the seconds to wait, 0 if it is on its way.

        However often it is asked for, one order is under way, and one a
        ``HAND_PAUSE_SECONDS`` is begun.
        """
        managed, now = self._held.get(name), self._now()
        if managed is None or managed.try_at <= now:
            return 0.0
        if (pause := managed.hand_pause_seconds(now)) > 0:
            return pause
        managed.by_hand_at = now
        self.renew_soon(name)
        return 0.0

    def revoked(self, name: str) -> None:
        """Serve a certificate no more that its CA has revoked, and have another at once."""
        if self._end_revoked(name):
            self.renew_soon(name)

    def revoked_by_hand(self, name: str) -> None:
        """Do the same for an operator: another at once, or when it is time for an order by hand."""
        if not self._end_revoked(name):
            return
        managed, now = self._held[name], self._now()
        managed.by_hand_at = managed.try_at = now + managed.hand_pause_seconds(now)
        self._plan(managed)

    def _end_revoked(self, name: str) -> bool:
        managed = self._held.get(name)
        if managed is None or managed.revoked:
            return False
        managed.revoked = True
        self._store.remove(name)
        _log.error("certificate revoked, and is served no more", extra={"certificate": name})
        return True

    async def keep_fresh(self) -> None:
        """Renew, each in its time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                while (managed := self._next_due()) is not None:
                    managed.running = True
                    tasks.create_task(self._turn(managed))
                await self._rest()

    def _next_due(self) -> ManagedCertificate | None:
        while self._turns and self._turns[0][0] <= self._now():
            due, _, managed = heapq.heappop(self._turns)
            is_kept = self._held.get(managed.name) is managed
            if is_kept and managed.due == due and not managed.running:
                return managed
        return None

    async def _rest(self) -> None:
        """Sleep until the next turn, or until one is planned."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if self._turns:
            seconds = max(0.0, self._turns[0][0] - self._now())
            waits.append(asyncio.ensure_future(self._sleep(min(seconds, _MAX_SLEEP_SECONDS))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _plan(self, managed: ManagedCertificate) -> None:
        managed.due = managed.next_turn(self._now())
        heapq.heappush(self._turns, (managed.due, next(self._sequence), managed))
        if len(self._turns) > 2 * len(self._held) + _SPARE_TURNS:
            # What is forgotten keeps its turn, months ahead, and with it its key: names on
            # demand come and go every hour.
            self._turns = [(each.due, next(self._sequence), each) for each in self]
            heapq.heapify(self._turns)
        self._wake.set()

    async def _turn(self, managed: ManagedCertificate) -> None:
        """Do what is due. What is held is served until it ends, no longer."""
        try:
            self._look_at_level(managed)
            now = self._now()
            if now >= managed.try_at:
                async with self._gate:
                    await self._obtain(managed)
            elif now >= managed.ask_at:
                await self._ask(managed)
        except CertificateFault as fault:
            self._failed(managed, str(fault), fault.retry_after_seconds or 0.0)
            _log.warning("not renewed: %s", fault, extra={"certificate": managed.name})
        except Exception as exc:  # noqa: BLE001 - a task's edge: one certificate's defect ends no other's
            self._failed(managed, type(exc).__name__, 0.0)
            _log.exception("not renewed: a defect of ours", extra={"certificate": managed.name})
        finally:
            managed.running = False
            self._plan(managed)

    def _look_at_level(self, managed: ManagedCertificate) -> None:
        """Say once that it gets worse, and tell who serves it when it has ended."""
        before, now = managed.level, self._now()
        managed.level = managed.level_now(now)
        if managed.level is Level.ENDED and managed.material is not None:
            managed.material = None
            self._store.announce(managed.name)
            _log.error(
                "certificate expired, and is served no more", extra={"certificate": managed.name}
            )
        if managed.level is not before:
            self._on_level(managed, before)

    def _failed(self, managed: ManagedCertificate, why: str, not_before_seconds: float) -> None:
        self.failures += 1
        managed.failures += 1
        managed.last_fault = why
        now = self._now()
        pause = retry_after(managed.failures, managed.seconds_left(now), self._jitter())
        managed.try_at = now + max(pause, not_before_seconds)

    async def _start(self, managed: ManagedCertificate) -> None:
        issuer = managed.issuer
        if not isinstance(issuer, FindsExisting) or not issuer.edge_seconds:
            await self._obtain(managed)
            return
        try:
            found = await issuer.find(managed.order)
        except Fault as fault:
            raise _named(managed, fault) from fault
        if found is not None:
            await self._take(managed, found)
        else:
            managed.try_at = self._now() + issuer.edge_seconds
            self._plan(managed)

    async def _obtain(self, managed: ManagedCertificate) -> Material:
        try:
            material = await managed.issuer.issue(managed.order._replace(replaces=managed.material))
        except Fault as fault:
            raise _named(managed, fault) from fault
        await self._take(managed, material)
        return material

    async def _take(self, managed: ManagedCertificate, material: Material) -> None:
        """Serve a certificate, and plan what comes next."""
        name, now = managed.name, self._now()
        if self._held.get(name) is not managed:
            return  # forgotten while it was ordered
        self._store.put(name, material)
        self.renewals += 1
        before = managed.level
        managed.material, managed.revoked = material, False
        managed.failures, managed.last_fault, managed.level = 0, "", Level.FRESH
        due = renew_at(material.not_before, material.not_after, self._jitter())
        managed.renew_at = managed.try_at = max(due, now + MIN_PAUSE_SECONDS)
        if before is not Level.FRESH:
            self._on_level(managed, before)
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": name, "seconds": material.not_after - now},
        )
        await self._ask(managed)
        self._plan(managed)

    async def _ask(self, managed: ManagedCertificate) -> None:
        """Follow the issuer's advice when to renew, where it gives some (ARI)."""
        material, now = managed.material, self._now()
        managed.ask_at = NEVER
        if material is None:
            return
        planned = managed.try_at
        try:
            advice = await advise(managed.issuer, material)
        except Fault as fault:
            managed.ask_at = now + _ASK_AGAIN_SECONDS
            _log.info("no advice: %s", fault, extra={"certificate": managed.name})
            return
        if advice is None:
            return
        managed.ask_at = max(advice.ask_again_at, now + MIN_PAUSE_SECONDS)
        # Whoever asked for a renewal meanwhile is not to be put off by it.
        if advice.renew_at is not None and managed.try_at == planned:
            wanted = min(advice.renew_at, material.not_after)
            managed.renew_at = managed.try_at = max(wanted, now + MIN_PAUSE_SECONDS)


def _named(managed: ManagedCertificate, fault: Fault) -> CertificateFault:
    return CertificateFault(
        f"certificate {managed.name!r}, issuer {managed.issuer.name!r}: {fault}", fault
    )
