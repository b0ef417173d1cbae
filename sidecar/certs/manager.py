"""Obtains certificates and keeps them fresh: one loop and one queue, however many there are.

Each certificate has its next turn in a heap: a renewal, or a look at how near its end is.
A renewal runs as a task of its own, so that a slow CA holds up no other; a failed one is
tried again with back-off, displaces nothing and stops nobody.
"""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from typing import Any

from sidecar.certs.issuer import Issuer, Order
from sidecar.certs.material import Material
from sidecar.certs.renewal import MIN_PAUSE_SECONDS, renew_at, retry_after
from sidecar.certs.store import CertificateStore
from sidecar.clock import Now
from sidecar.errors import Fault

_log = logging.getLogger("sidecar.certs")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""
_CONCURRENT = 4
"""Issuances at once: as many as Vault's bridge has threads."""
_MAX_NAMED_FAULTS = 5


class CertificateFault(Fault):
    """A certificate can't be had; retryable where its cause is."""

    def __init__(self, message: str, cause: Fault | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.retryable = cause.retryable
            self.retry_after_seconds = cause.retry_after_seconds


class Holding:
    """One certificate that is kept: what was ordered, of whom, and how it goes."""

    __slots__ = ("due", "failures", "issuer", "last_fault", "material", "order", "running")

    def __init__(self, order: Order, issuer: Issuer) -> None:
        self.order = order
        self.issuer = issuer
        self.material: Material | None = None
        """What is served, or was until it expired."""
        self.due = 0.0
        """When the next renewal is tried (Unix seconds)."""
        self.failures = 0
        """Renewals that failed since the last one that did not."""
        self.last_fault = ""
        self.running = False


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
    ) -> None:
        self._store = store
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._gate = asyncio.Semaphore(_CONCURRENT)
        self._held: dict[str, Holding] = {}
        self._turns: list[tuple[float, int, Holding]] = []
        self._sequence = count()
        self._wake = asyncio.Event()
        self.failures = 0
        for order, issuer in wanted:
            self._plan(self._held.setdefault(order.name, Holding(order, issuer)), now())

    def __iter__(self) -> Iterator[Holding]:
        """Walk what is kept."""
        return iter(tuple(self._held.values()))

    async def obtain_all(self) -> None:
        """Obtain every certificate once.

        Raises ``CertificateFault`` with what failed; after a few faults the rest is not
        tried, for they have one cause.
        """
        faults: list[CertificateFault] = []

        async def obtain(holding: Holding) -> None:
            async with self._gate:
                if len(faults) < _MAX_NAMED_FAULTS:
                    try:
                        await self._obtain(holding)
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
        async with self._gate:
            material = await self._obtain(holding)
        self._held[order.name] = holding
        return material

    def forget(self, name: str) -> None:
        """Keep a certificate no more, and serve it no more."""
        self._held.pop(name, None)
        self._store.remove(name)

    def renew_soon(self, name: str) -> bool:
        """Have the loop renew a certificate at once; false for a name that is not kept."""
        holding = self._held.get(name)
        if holding is not None:
            self._plan(holding, self._now())
        return holding is not None

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
            if self._is_current(due, holding) and not holding.running:
                return holding
        return None

    def _is_current(self, due: float, holding: Holding) -> bool:
        return holding.due == due and self._held.get(holding.order.name) is holding

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

    def _plan(self, holding: Holding, due: float) -> None:
        holding.due = due
        heapq.heappush(self._turns, (due, next(self._sequence), holding))
        self._wake.set()

    async def _turn(self, holding: Holding) -> None:
        """Try to renew. What is held is served until it expires, no longer."""
        name = holding.order.name
        self._announce_end(holding)
        try:
            async with self._gate:
                await self._obtain(holding)
        except CertificateFault as fault:
            self._failed(holding, str(fault), fault.retry_after_seconds or 0.0)
            _log.warning("not renewed: %s", fault, extra={"certificate": name})
        except Exception as exc:  # noqa: BLE001 - a task's edge: one certificate's defect ends no other's
            self._failed(holding, type(exc).__name__, 0.0)
            _log.exception("not renewed: a defect of ours", extra={"certificate": name})
        finally:
            holding.running = False
            self._wake.set()

    def _failed(self, holding: Holding, why: str, not_before_seconds: float) -> None:
        self.failures += 1
        holding.failures += 1
        holding.last_fault = why
        now = self._now()
        remaining = holding.material.not_after - now if holding.material is not None else 0.0
        pause = max(not_before_seconds, retry_after(holding.failures, remaining, self._jitter()))
        # The end of what is held is a turn of its own: whoever serves it must be told.
        self._plan(holding, now + (min(pause, remaining) if remaining > 0 else pause))

    def _announce_end(self, holding: Holding) -> None:
        material = holding.material
        if material is not None and material.not_after <= self._now():
            holding.material = None
            self._store.announce(holding.order.name)
            _log.error(
                "certificate expired, and is served no more",
                extra={"certificate": holding.order.name},
            )

    async def _obtain(self, holding: Holding) -> Material:
        order = holding.order
        try:
            material = await holding.issuer.issue(order._replace(replaces=holding.material))
        except Fault as fault:
            raise CertificateFault(
                f"certificate {order.name!r}, issuer {holding.issuer.name!r}: {fault}", fault
            ) from fault
        holding.material, holding.failures, holding.last_fault = material, 0, ""
        self._store.put(order.name, material)
        now = self._now()
        due = renew_at(material.not_before, material.not_after, self._jitter())
        self._plan(holding, max(due, now + MIN_PAUSE_SECONDS))
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": order.name, "seconds": material.not_after - now},
        )
        return material
