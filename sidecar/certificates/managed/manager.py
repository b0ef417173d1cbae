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
from sidecar.certificates.managed.certificate import NEVER, Holding
from sidecar.certificates.managed.renewal import MIN_PAUSE_SECONDS, Level, renew_at, retry_after
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.material import Material
from sidecar.common.clock import Now
from sidecar.common.errors import Fault

_log = logging.getLogger("sidecar.certificates")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""
_CONCURRENT = 4
"""Issuances at once: as many as Vault's bridge has threads."""
_MAX_NAMED_FAULTS = 5
_SPARE_TURNS = 64
_ASK_AGAIN_SECONDS = 3600.0
"""After a question about renewal that nobody answered."""

OnLevel = Callable[[Holding, Level], None]
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
        self._held: dict[str, Holding] = {}
        self._turns: list[tuple[float, int, Holding]] = []
        self._sequence = count()
        self._wake = asyncio.Event()
        self.renewals = 0
        self.failures = 0
        for order, issuer in wanted:
            self._plan(self._held.setdefault(order.name, Holding(order, issuer)))

    def __iter__(self) -> Iterator[Holding]:
        """Walk what is kept."""
        return iter(tuple(self._held.values()))

    def get(self, name: str) -> Holding | None:
        """Return what is kept under a name."""
        return self._held.get(name)

    async def obtain_all(self) -> None:
        """Obtain every certificate once, but order none whose CA must see our edge first.

        Of those, what the fleet has is taken, and the rest is ordered by ``keep_fresh`` a
        little later. Raises ``CertificateFault`` with what failed; after a few faults the
        rest is not tried, for they have one cause.
        """
        faults: list[CertificateFault] = []

        async def obtain(holding: Holding) -> None:
            async with self._gate:
                if len(faults) < _MAX_NAMED_FAULTS:
                    try:
                        await self._start(holding)
                    except CertificateFault as fault:
                        faults.append(fault)

        await asyncio.gather(*(obtain(holding) for holding in self))
        if faults:
            raise CertificateFault("; ".join(map(str, faults[:_MAX_NAMED_FAULTS])))

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        """Obtain one certificate now, serve it and keep it from then on.

        Raises ``CertificateFault``; then nothing is kept that was not kept before. One call
        a name at a time is the caller's affair.
        """
        holding = self._held.get(order.name) or Holding(order, issuer)
        holding.order, holding.issuer = order, issuer
        self._held[order.name] = holding
        try:
            async with self._gate:
                return await self._obtain(holding)
        except BaseException:
            if holding.material is None and self._held.get(order.name) is holding:
                del self._held[order.name]
            raise

    def forget(self, name: str) -> None:
        """Keep a certificate no more, and serve it no more."""
        self._held.pop(name, None)
        self._store.remove(name)

    def renew_soon(self, name: str) -> bool:
        """Have the loop renew a certificate at once; false for a name that is not kept."""
        holding = self._held.get(name)
        if holding is not None:
            holding.try_at = self._now()
            self._plan(holding)
        return holding is not None

    def renew_by_hand(self, name: str) -> float:
        """Have one ordered for an operator; returns the seconds to wait, 0 if it is on its way.

        However often it is asked for, one order is under way, and one a
        ``HAND_PAUSE_SECONDS`` is begun.
        """
        holding, now = self._held.get(name), self._now()
        if holding is None or holding.try_at <= now:
            return 0.0
        if (pause := holding.hand_pause_seconds(now)) > 0:
            return pause
        holding.by_hand_at = now
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
        holding, now = self._held[name], self._now()
        holding.by_hand_at = holding.try_at = now + holding.hand_pause_seconds(now)
        self._plan(holding)

    def _end_revoked(self, name: str) -> bool:
        holding = self._held.get(name)
        if holding is None or holding.revoked:
            return False
        holding.revoked = True
        self._store.remove(name)
        _log.error("certificate revoked, and is served no more", extra={"certificate": name})
        return True

    async def keep_fresh(self) -> None:
        """Renew, each in its time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                while (holding := self._next_due()) is not None:
                    holding.running = True
                    tasks.create_task(self._turn(holding))
                await self._rest()

    def _next_due(self) -> Holding | None:
        while self._turns and self._turns[0][0] <= self._now():
            due, _, holding = heapq.heappop(self._turns)
            is_kept = self._held.get(holding.name) is holding
            if is_kept and holding.due == due and not holding.running:
                return holding
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

    def _plan(self, holding: Holding) -> None:
        holding.due = holding.next_turn(self._now())
        heapq.heappush(self._turns, (holding.due, next(self._sequence), holding))
        if len(self._turns) > 2 * len(self._held) + _SPARE_TURNS:
            # What is forgotten keeps its turn, months ahead, and with it its key: names on
            # demand come and go every hour.
            self._turns = [(each.due, next(self._sequence), each) for each in self]
            heapq.heapify(self._turns)
        self._wake.set()

    async def _turn(self, holding: Holding) -> None:
        """Do what is due. What is held is served until it ends, no longer."""
        try:
            self._look_at_level(holding)
            now = self._now()
            if now >= holding.try_at:
                async with self._gate:
                    await self._obtain(holding)
            elif now >= holding.ask_at:
                await self._ask(holding)
        except CertificateFault as fault:
            self._failed(holding, str(fault), fault.retry_after_seconds or 0.0)
            _log.warning("not renewed: %s", fault, extra={"certificate": holding.name})
        except Exception as exc:  # noqa: BLE001 - a task's edge: one certificate's defect ends no other's
            self._failed(holding, type(exc).__name__, 0.0)
            _log.exception("not renewed: a defect of ours", extra={"certificate": holding.name})
        finally:
            holding.running = False
            self._plan(holding)

    def _look_at_level(self, holding: Holding) -> None:
        """Say once that it gets worse, and tell who serves it when it has ended."""
        before, now = holding.level, self._now()
        holding.level = holding.level_now(now)
        if holding.level is Level.ENDED and holding.material is not None:
            holding.material = None
            self._store.announce(holding.name)
            _log.error(
                "certificate expired, and is served no more", extra={"certificate": holding.name}
            )
        if holding.level is not before:
            self._on_level(holding, before)

    def _failed(self, holding: Holding, why: str, not_before_seconds: float) -> None:
        self.failures += 1
        holding.failures += 1
        holding.last_fault = why
        now = self._now()
        pause = retry_after(holding.failures, holding.seconds_left(now), self._jitter())
        holding.try_at = now + max(pause, not_before_seconds)

    async def _start(self, holding: Holding) -> None:
        issuer = holding.issuer
        if not isinstance(issuer, FindsExisting) or not issuer.edge_seconds:
            await self._obtain(holding)
            return
        try:
            found = await issuer.find(holding.order)
        except Fault as fault:
            raise _named(holding, fault) from fault
        if found is not None:
            await self._take(holding, found)
        else:
            holding.try_at = self._now() + issuer.edge_seconds
            self._plan(holding)

    async def _obtain(self, holding: Holding) -> Material:
        try:
            material = await holding.issuer.issue(holding.order._replace(replaces=holding.material))
        except Fault as fault:
            raise _named(holding, fault) from fault
        await self._take(holding, material)
        return material

    async def _take(self, holding: Holding, material: Material) -> None:
        """Serve a certificate, and plan what comes next."""
        name, now = holding.name, self._now()
        if self._held.get(name) is not holding:
            return  # forgotten while it was ordered
        self._store.put(name, material)
        self.renewals += 1
        before = holding.level
        holding.material, holding.revoked = material, False
        holding.failures, holding.last_fault, holding.level = 0, "", Level.FRESH
        due = renew_at(material.not_before, material.not_after, self._jitter())
        holding.renew_at = holding.try_at = max(due, now + MIN_PAUSE_SECONDS)
        if before is not Level.FRESH:
            self._on_level(holding, before)
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": name, "seconds": material.not_after - now},
        )
        await self._ask(holding)
        self._plan(holding)

    async def _ask(self, holding: Holding) -> None:
        """Follow the issuer's advice when to renew, where it gives some (ARI)."""
        material, now = holding.material, self._now()
        holding.ask_at = NEVER
        if material is None:
            return
        planned = holding.try_at
        try:
            advice = await advise(holding.issuer, material)
        except Fault as fault:
            holding.ask_at = now + _ASK_AGAIN_SECONDS
            _log.info("no advice: %s", fault, extra={"certificate": holding.name})
            return
        if advice is None:
            return
        holding.ask_at = max(advice.ask_again_at, now + MIN_PAUSE_SECONDS)
        # Whoever asked for a renewal meanwhile is not to be put off by it.
        if advice.renew_at is not None and holding.try_at == planned:
            wanted = min(advice.renew_at, material.not_after)
            holding.renew_at = holding.try_at = max(wanted, now + MIN_PAUSE_SECONDS)


def _named(holding: Holding, fault: Fault) -> CertificateFault:
    return CertificateFault(
        f"certificate {holding.name!r}, issuer {holding.issuer.name!r}: {fault}", fault
    )
