"""A manager of certificates with its store, a clock that obeys, and an issuer that does as told."""

import asyncio
from collections.abc import Callable

from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.errors import Fault
from workload.x509.material import Material

WANTED = Order("edge", ("a.example",))


class World:
    """A clock, and an issuer that fails when told to."""

    def __init__(self, *wanted: Order) -> None:
        wanted = wanted or (WANTED,)
        self.name = "internal"
        self.now = 0.0
        self.issued = 0
        self.failing: Exception | None = None
        self.stuck: asyncio.Event | None = None
        self.edge_seconds = 0.0
        self.there: Material | None = None
        self.advice: list[RenewalAdvice | Fault] = []
        self.advised: list[float] = []
        self.names: list[str] = []
        self.replaced: list[str | None] = []
        self.levels: list[tuple[Level, float]] = []
        self.life_seconds = 3600.0
        self.attempts = 0
        self.announced: list[float] = []
        self.slept: list[float] = []
        self.store = CertificateStore(lambda: self.now)
        self.store.watch(lambda _name: self.announced.append(self.now))
        self.manager = CertificateManager(
            [(each, self) for each in wanted], self.store,
            now=lambda: self.now, sleep=self.sleep, jitter=lambda: 0.0,
            on_level=lambda managed, _before: self.levels.append((managed.level, self.now)),
        )  # fmt: skip

    async def issue(self, order: Order) -> Material:
        self.attempts += 1
        self.names.append(order.name)
        if self.stuck is not None and order.name == "edge":
            await self.stuck.wait()
        if self.failing and (order.name != "other"):
            raise self.failing
        self.issued += 1
        self.replaced.append(order.replaces.serial if order.replaces is not None else None)
        return Material(
            chain_pem=b"", key_pem=b"", names=order.dns_names, serial=str(self.issued),
            not_before=self.now, not_after=self.now + self.life_seconds,
        )  # fmt: skip

    async def find(self, _order: Order) -> Material | None:
        return self.there

    async def advise(self, _material: Material) -> RenewalAdvice | None:
        self.advised.append(self.now)
        said = self.advice.pop(0) if self.advice else None
        if isinstance(said, Fault):
            raise said
        return said

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def run_until(self, moment: float) -> None:
        await self._run_while(lambda: self.now < moment)

    async def run_until_issued(self, count: int) -> None:
        await self._run_while(lambda: self.issued < count)

    async def fail_until(self, moment: float) -> None:
        """Fail every order until then; return when the next one has succeeded."""
        count = self.issued + 1
        self.failing = Fault("Vault is away")

        def goes_on() -> bool:
            if self.now >= moment:
                self.failing = None
            return self.issued < count

        await self._run_while(goes_on)

    async def _run_while(self, goes_on: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.manager.keep_fresh())
        while goes_on():
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # what was issued is put into the store
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def serial(self) -> str | None:
        material = self.store.get("edge")
        return material.serial if material else None


class Nobody:
    """An issuer that is never asked."""

    name = "internal"

    async def issue(self, order: Order) -> Material:
        raise AssertionError(order)
