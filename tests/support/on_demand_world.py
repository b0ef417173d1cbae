"""Certificates on demand, with a clock that obeys and a CA that does as told."""

import asyncio
from dataclasses import dataclass, field

from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.managed.obtaining import CertificateFault
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.domains import (
    UNRESOLVED,
    DomainIndex,
    Registration,
    RegistryFault,
    Unresolved,
    read_registrations,
)
from sidecar.certificates.on_demand.on_demand import OBTAINING, Obtaining, OnDemand
from sidecar.certificates.on_demand.orders import OnDemandEvents
from sidecar.common.errors import Fault
from sidecar.config import on_demand as settings_of
from workload.x509.material import Material

ALICE, BOB = "alice", "bob"


def material(serial: str, *names: str, not_after: float = 1e10) -> Material:
    return Material(b"chain", b"key", names, serial, 0.0, not_after)


class MemoryRegistry:
    """Domains in memory, or those that have to be asked for."""

    def __init__(self) -> None:
        self.domains = DomainIndex({})
        self.slow = False
        self.known: set[str] = set()
        self.failing = False
        self.asked: list[str] = []
        self.wanted: list[str] = []

    def register(self, *entries: dict[str, object]) -> None:
        found, problems = read_registrations(list(entries))
        assert problems == []
        self.domains = DomainIndex(found)

    def want(self, name: str) -> None:
        self.wanted.append(name)

    def find(self, name: str) -> Registration | Unresolved | None:
        if self.slow and name not in self.known:
            return UNRESOLVED
        return self.domains.find(name)

    async def resolve(self, name: str) -> None:
        self.asked.append(name)
        await asyncio.sleep(0)
        if self.failing:
            raise RegistryFault("down")
        self.known.add(name)

    async def start(self) -> None: ...

    async def run(self) -> None: ...


@dataclass
class CertificateAuthority:
    """An issuer and the manager of what it issues."""

    store: CertificateStore
    name: str = "public"
    orders: list[Order] = field(default_factory=list)
    failing: Fault | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    kept: set[str] = field(default_factory=set)
    renewed_by: dict[str, str] = field(default_factory=dict)
    not_after: float = 1e10

    def __post_init__(self) -> None:
        self.held.set()

    async def issue(self, order: Order) -> Material:
        raise NotImplementedError

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        assert issuer.name == self.name
        self.orders.append(order)
        await self.held.wait()
        if self.failing is not None:
            raise CertificateFault("no", self.failing) from self.failing
        issued = material(str(len(self.orders)), *order.dns_names, not_after=self.not_after)
        self.kept.add(order.name)
        self.store.put(order.name, issued)
        return issued

    def forget(self, name: str) -> None:
        self.kept.discard(name)
        self.store.remove(name)

    def use_issuer(self, name: str, issuer: Issuer) -> None:
        self.renewed_by[name] = issuer.name


class World:
    def __init__(self, configured: tuple[str, ...] = (), **settings: object) -> None:
        self.now = 1000.0
        self.store = CertificateStore(lambda: self.now)
        self.registry = MemoryRegistry()
        self.ca = CertificateAuthority(self.store)
        self.refused: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self.obtained: list[tuple[str, str]] = []
        self.notified: list[str] = []
        self.evicted: list[str] = []
        registry = settings_of.FileRegistry(path="-")
        self.on_demand = OnDemand(
            settings_of.OnDemandSettings(registry=registry, issuer="public", **settings),  # type: ignore[arg-type]
            registry=self.registry,
            issuers=Issuers({"public": self.ca}),
            manager=self.ca,
            store=self.store,
            configured=configured,
            events=OnDemandEvents(
                lambda name, reason: self.refused.append((name, reason)),
                lambda name, whose, _: self.obtained.append((name, whose.tenant_id)),
                lambda _name, reason, _words: self.failed.append(reason),
                lambda _name, _words: self.failed.append("registry"),
            ),
            clock=lambda: self.now,
            jitter=lambda: 0.0,
            is_vault_healthy=lambda: self.vault_is_healthy,
        )
        self.vault_is_healthy = True
        self.on_demand.watch(self.notified.append)
        self.on_demand.on_forget(self.evicted.append)

    def register(self, *domains: str, tenant: str = ALICE, **more: object) -> None:
        self.registry.register(*({"domain": d, "tenant_id": tenant, **more} for d in domains))

    def ask(self, name: str, *, waits: bool = True) -> str:
        """What a client is told: a serial, ``...``, or the reason of a refusal."""
        answer = self.on_demand.lookup(name, waits=waits)
        if isinstance(answer, Obtaining):
            assert answer is OBTAINING
            return "..."
        if answer is None:
            return self.refused[-1][1] if waits else "no"
        return answer.serial

    async def get(self, name: str) -> str:
        """What a client is told in the end."""
        said = self.ask(name)
        for _ in range(20):
            if said != "...":
                break
            await asyncio.sleep(0)
            if name in self.notified:
                said = self.ask(name)
        return said
