"""Names that nobody configured: the rules, with a clock that obeys and a CA that does as told."""

import asyncio
from dataclasses import dataclass, field

import pytest

from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.managed.manager import CertificateFault
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.domains import (
    UNRESOLVED,
    DomainIndex,
    Registration,
    RegistryFault,
    Unresolved,
    read_registrations,
)
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.certificates.on_demand.name_table import MAX_SPELLINGS
from sidecar.certificates.on_demand.on_demand import OBTAINING, Obtaining, OnDemand
from sidecar.certificates.on_demand.orders import OnDemandEvents
from sidecar.common.errors import Fault
from sidecar.config import on_demand as settings_of
from workload.x509.material import Material

ALICE, BOB = "alice", "bob"


def material(serial: str, *names: str, not_after: float = 1e10) -> Material:
    return Material(b"chain", b"key", names, serial, 0.0, not_after)


class Registry:
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


class World:
    def __init__(self, configured: tuple[str, ...] = (), **settings: object) -> None:
        self.now = 1000.0
        self.store = CertificateStore(lambda: self.now)
        self.registry = Registry()
        self.ca = CertificateAuthority(self.store)
        self.refused: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self.obtained: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.taken_back: list[str] = []
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
        self.on_demand.watch(self.told.append)
        self.on_demand.on_forget(self.taken_back.append)

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
            if name in self.told:
                said = self.ask(name)
        return said


async def test_the_first_asks_the_ca_and_the_second_does_not() -> None:
    world = World()
    world.register("shop.example")
    assert world.ask("shop.example") == "..."
    assert await world.get("shop.example") == "1"
    assert world.ask("shop.example") == "1"
    assert world.ca.orders == [
        Order("shop.example", ("shop.example",), account="shop.example"),
    ]
    assert world.obtained == [("shop.example", ALICE)]


async def test_one_order_however_many_ask() -> None:
    world = World()
    world.register("shop.example")
    for name in ("shop.example", "SHOP.example", "shop.example.", "shop.example"):
        assert world.ask(name) == "..."
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(world.ca.orders) == 1
    assert set(world.told) == {"shop.example", "SHOP.example", "shop.example."}
    assert world.ask("SHOP.example") == world.ask("shop.example.") == "1"


NEVER = [
    ("unknown.example", "domain_unknown"),
    ("a.unknown.example", "domain_unknown"),
    ("below.shop.example", "domain_unknown"),
    ("bad..example", "name_malformed"),
    ("127.0.0.1", "name_is_address"),
    ("edge", "name_too_shallow"),
    ("a.b.c.d.e.f.g.h.i.example", "name_too_deep"),
]


@pytest.mark.parametrize(("name", "reason"), NEVER, ids=[n[0] for n in NEVER])
async def test_nothing_is_asked_of_a_ca_for(name: str, reason: str) -> None:
    world = World()
    world.register("shop.example")
    assert world.ask(name) == reason
    assert world.ask(name) == reason
    await asyncio.sleep(0)
    assert world.ca.orders == []
    assert len(world.on_demand) == 0, "a refusal is no state"


async def test_a_domain_that_is_registered_later_works() -> None:
    world = World()
    assert world.ask("shop.example") == "domain_unknown"
    world.register("shop.example")
    assert await world.get("shop.example") == "1"


async def test_nothing_is_set_in_motion_for_a_client_that_does_not_wait() -> None:
    world = World()
    world.register("shop.example")
    world.registry.slow = True
    assert world.ask("shop.example", waits=False) == "..."
    world.registry.slow = False
    assert world.ask("shop.example", waits=False) == "..."
    assert world.ask("other.example", waits=False) == "no"
    await asyncio.sleep(0)
    assert (world.ca.orders, world.registry.asked, world.refused) == ([], [], [])
    assert len(world.on_demand) == 0


async def test_a_failure_is_told_at_once_and_backed_off_from() -> None:
    world = World(retry_seconds=5.0, max_retry_seconds=12.0)
    world.register("shop.example")
    world.ca.failing = Fault("down")
    for pause in (5.0, 10.0, 12.0, 12.0):
        assert await world.get("shop.example") == "order_failed"
        count = len(world.ca.orders)
        world.now += pause - 0.1
        assert world.ask("shop.example") == "order_failed"
        await asyncio.sleep(0)
        assert len(world.ca.orders) == count
        world.now += 0.2
        world.told.clear()
    world.ca.failing = None
    assert await world.get("shop.example") == "5"


async def test_a_ca_that_says_when_is_not_asked_before() -> None:
    world = World(retry_seconds=5.0)
    world.register("shop.example")
    fault = Fault("busy")
    fault.retry_after_seconds = 600.0
    world.ca.failing = fault
    assert await world.get("shop.example") == "order_failed"
    world.now += 599
    assert world.ask("shop.example") == "order_failed"
    world.now += 2
    assert world.ask("shop.example") == "..."


async def test_a_spent_budget_is_told_as_that_and_does_not_hold_back_for_its_whole_time() -> None:
    world = World(retry_seconds=5.0)
    world.register("shop.example")
    world.ca.failing = IssuanceRateExceeded("domain_budget_spent", 100_000.0)
    assert await world.get("shop.example") == "domain_budget_spent"
    assert world.failed == ["domain_budget_spent"]
    world.now += 6
    assert world.ask("shop.example") == "..."


async def test_only_so_many_orders_wait() -> None:
    world = World(orders_waiting=2)
    world.register("*.shop.example")
    world.ca.held.clear()
    assert [world.ask(f"{n}.shop.example") for n in "abc"] == ["...", "...", "too_many_orders"]
    world.ca.held.set()
    assert await world.get("a.shop.example") == "1"
    assert await world.get("c.shop.example") == "3"


async def test_a_wildcard_certificate_is_ordered_once_for_its_names() -> None:
    world = World()
    world.register("*.shop.example", wildcard=True)
    assert await world.get("a.shop.example") == "1"
    assert world.ask("b.shop.example") == "1"
    assert [order.dns_names for order in world.ca.orders] == [("*.shop.example",)]
    world.told.clear()
    world.store.put("*.shop.example", material("2", "*.shop.example"))
    assert sorted(world.told) == ["a.shop.example", "b.shop.example"], "a renewal reaches all"


async def test_a_configured_wildcard_serves_its_names_without_a_registry() -> None:
    world = World(configured=("edge",))
    world.store.put("edge", material("7", "app.example", "*.app.example"))
    assert [world.ask(n) for n in ("app.example", "x.app.example", "X.app.example")] == ["7"] * 3
    assert world.ask("y.x.app.example") == "domain_unknown"
    world.told.clear()
    world.store.put("edge", material("8", "app.example"))
    assert set(world.told) == {"app.example", "x.app.example", "X.app.example"}
    assert world.ask("app.example") == "8"
    assert world.ask("x.app.example") == "domain_unknown", "the new one covers it no more"
    assert world.ca.orders == []


async def test_a_configured_certificate_is_never_displaced() -> None:
    world = World(configured=("shop.example",))
    world.store.put("shop.example", material("7", "other.example"))
    world.register("shop.example")
    assert world.ask("Shop.example") == "name_is_configured"


async def test_only_so_many_spellings() -> None:
    world = World()
    world.register("shop.example")
    assert await world.get("shop.example") == "1"
    spelt = [f"{a}{b}{c}{d}.example" for a in "sS" for b in "hH" for c in "oO" for d in "pP"]
    said = [world.ask(name) for name in spelt]
    assert said.count("1") == MAX_SPELLINGS + 1, "beside the normal form"
    assert said.count("too_many_spellings") == 15 - MAX_SPELLINGS
    assert len(world.on_demand) == MAX_SPELLINGS + 1


async def test_the_name_asked_for_the_longest_ago_makes_room_everywhere() -> None:
    world = World(max_names=2)
    world.register("*.shop.example")
    for name in "abc":
        assert await world.get(f"{name}.shop.example") != "..."
        world.now += 1
        if name == "b":
            assert world.ask("a.shop.example") == "1"
    assert world.taken_back == ["b.shop.example"]
    assert world.ca.kept == {"a.shop.example", "c.shop.example"}
    assert len(world.on_demand) == 2


async def test_what_nobody_asks_for_is_let_go() -> None:
    world = World(ttl_seconds=100.0)
    world.register("*.shop.example")
    await world.get("a.shop.example")
    await world.get("b.shop.example")
    world.now += 150
    assert world.ask("b.shop.example") == "2"
    world.on_demand.sweep()
    assert world.ca.kept == {"a.shop.example", "b.shop.example"}
    world.now += 51
    world.on_demand.sweep()
    assert world.ca.kept == {"b.shop.example"}
    assert world.taken_back == ["a.shop.example"]


async def test_a_domain_that_is_withdrawn_is_taken_back() -> None:
    world = World()
    world.register("*.shop.example", "other.example")
    await world.get("a.shop.example")
    await world.get("A.shop.example")
    await world.get("other.example")
    world.register("other.example")
    await world.on_demand.forget_withdrawn()
    assert sorted(world.taken_back) == ["A.shop.example", "a.shop.example"]
    assert world.ca.kept == {"other.example"}
    assert world.on_demand.refuses("a.shop.example")
    assert not world.on_demand.refuses("other.example")


async def test_a_domain_that_changes_hands_is_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    assert await world.get("shop.example") == "1"
    world.register("shop.example", tenant=BOB)
    assert world.ask("shop.example", waits=True) == "..."
    assert world.taken_back == ["shop.example"]
    world.told.clear()
    assert await world.get("shop.example") == "2"
    assert world.obtained == [("shop.example", ALICE), ("shop.example", BOB)]


async def test_an_order_for_a_domain_withdrawn_meanwhile_is_given_up() -> None:
    world = World()
    world.register("shop.example")
    world.ca.held.clear()
    assert world.ask("shop.example") == "..."
    await asyncio.sleep(0)
    world.register()
    await world.on_demand.forget_withdrawn()
    world.ca.held.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.ca.kept == set()
    assert world.on_demand.open_orders == 0
    assert world.ask("shop.example") == "domain_unknown"


async def test_an_order_given_up_before_it_began_leaves_its_place() -> None:
    world = World(orders_waiting=1)
    world.register("shop.example", "other.example")
    assert world.ask("shop.example") == "..."
    world.register("other.example")
    await world.on_demand.forget_withdrawn()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.on_demand.open_orders == 0
    assert await world.get("other.example") == "1"


async def test_an_expired_certificate_is_not_served_and_is_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    world.ca.not_after = 2000.0
    assert await world.get("shop.example") == "1"
    world.now = 2001.0
    world.ca.not_after = 1e10
    world.told.clear()
    assert await world.get("shop.example") == "2"


async def test_a_certificate_that_is_revoked_is_taken_back_and_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    assert await world.get("shop.example") == "1"
    world.told.clear()
    world.store.remove("shop.example")
    assert world.ask("shop.example", waits=False) == "no"
    world.told.clear()
    assert await world.get("shop.example") == "2"


async def test_anothers_failed_order_takes_nothing_from_who_holds_a_version() -> None:
    """After our restart an Envoy holds what we do not, and another one asks for it in vain."""
    world = World()
    world.register("shop.example")
    world.ca.failing = Fault("down")
    assert await world.get("shop.example") == "order_failed"
    assert world.ask("shop.example", waits=False) == "..."


async def test_what_only_envoy_has_is_not_taken_back_while_vault_is_away() -> None:
    world = World()
    world.register("shop.example", "old.example")
    assert await world.get("shop.example") == "1"
    assert world.on_demand.could_serve_again("old.example")
    world.vault_is_healthy = False
    assert world.on_demand.could_serve_again("shop.example")
    assert not world.on_demand.could_serve_again("old.example")


class TestARegistryThatTakesItsTime:
    @pytest.fixture
    async def world(self) -> World:
        world = World(retry_seconds=5.0)
        world.register("shop.example")
        world.registry.slow = True
        return world

    async def test_it_is_asked_once_and_then_the_ca(self, world: World) -> None:
        assert [world.ask(name) for name in ("shop.example", "SHOP.example")] == ["...", "..."]
        assert await world.get("shop.example") == "1"
        assert world.registry.asked == ["shop.example"]
        assert set(world.told) == {"shop.example", "SHOP.example"}

    async def test_an_unknown_name_is_refused_when_it_has_answered(self, world: World) -> None:
        assert await world.get("unknown.example") == "domain_unknown"
        assert world.ca.orders == []

    async def test_down_it_refuses_new_names_and_is_not_hammered(self, world: World) -> None:
        world.registry.failing = True
        assert await world.get("shop.example") == "registry_unavailable"
        assert world.ask("shop.example") == "registry_unavailable"
        assert world.registry.asked == ["shop.example"]
        world.registry.failing = False
        world.now += 6
        world.told.clear()
        assert await world.get("shop.example") == "1"

    async def test_what_is_held_outlives_it(self, world: World) -> None:
        assert await world.get("shop.example") == "1"
        world.registry.known.clear()
        world.registry.failing = True
        for _ in range(3):
            assert world.ask("shop.example") == "1"
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert world.registry.asked == ["shop.example"] * 2

    async def test_what_it_no_longer_knows_is_taken_back(self, world: World) -> None:
        assert await world.get("shop.example") == "1"
        world.registry.known.clear()
        world.register()
        assert world.ask("shop.example") == "1", "until it has answered"
        for _ in range(4):
            await asyncio.sleep(0)
        assert world.taken_back == ["shop.example"]
        assert world.ask("shop.example") == "domain_unknown"


async def test_closing_gives_up_what_is_on_its_way() -> None:
    world = World()
    world.register("shop.example")
    world.ca.held.clear()
    world.ask("shop.example")
    await asyncio.sleep(0)
    await world.on_demand.close()
    assert world.on_demand.open_orders == 0


async def test_an_issuer_that_is_not_there_is_a_failure_like_another() -> None:
    world = World()
    world.register("shop.example", issuer="nobody")
    assert await world.get("shop.example") == "order_failed"
    assert world.failed == ["order_failed"]
