"""Names that nobody configured: the rules, with a clock that obeys and a CA that does as told."""

import asyncio

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.on_demand.name_table import MAX_SPELLINGS
from sidecar.common.errors import Fault
from tests.support.on_demand_world import ALICE, BOB, World, material
from tests.support.waiting import until


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
    assert set(world.notified) == {"shop.example", "SHOP.example", "shop.example."}
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


async def test_nothing_is_ordered_for_a_client_that_does_not_wait() -> None:
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


async def test_a_wildcard_certificate_is_ordered_once_for_its_names() -> None:
    world = World()
    world.register("*.shop.example", wildcard=True)
    assert await world.get("a.shop.example") == "1"
    assert world.ask("b.shop.example") == "1"
    assert [order.dns_names for order in world.ca.orders] == [("*.shop.example",)]
    world.notified.clear()
    world.store.put("*.shop.example", material("2", "*.shop.example"))
    assert sorted(world.notified) == ["a.shop.example", "b.shop.example"], "a renewal reaches all"


async def test_a_configured_wildcard_serves_its_names_without_a_registry() -> None:
    world = World(configured=("edge",))
    world.store.put("edge", material("7", "app.example", "*.app.example"))
    assert [world.ask(n) for n in ("app.example", "x.app.example", "X.app.example")] == ["7"] * 3
    assert world.ask("y.x.app.example") == "domain_unknown"
    world.notified.clear()
    world.store.put("edge", material("8", "app.example"))
    assert set(world.notified) == {"app.example", "x.app.example", "X.app.example"}
    assert world.ask("app.example") == "8"
    assert world.ask("x.app.example") == "domain_unknown", "the new one covers it no more"
    assert world.ca.orders == []


async def test_who_came_back_with_a_certificate_hears_of_the_next() -> None:
    """After a restart of the sidecar Envoy names what it holds, and asks for nothing."""
    world = World(configured=("edge",))
    world.store.put("edge", material("7", "*.app.example"))
    assert world.ask("x.app.example", waits=False) == "7"
    world.notified.clear()
    world.store.put("edge", material("8", "*.app.example"))
    assert world.notified == ["x.app.example"]
    assert world.ask("x.app.example", waits=False) == "8"
    world.now += 1
    assert world.ask("y.app.example") == world.ask("x.app.example", waits=False) == "8"
    assert world.on_demand.names == {"x.app.example", "y.app.example"}
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
    assert world.evicted == ["b.shop.example"]
    assert world.ca.kept == {"a.shop.example", "c.shop.example"}
    assert len(world.on_demand) == 2


async def test_names_that_are_not_asked_for_are_dropped() -> None:
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
    assert world.evicted == ["a.shop.example"]


async def test_a_domain_that_is_withdrawn_is_evicted() -> None:
    world = World()
    world.register("*.shop.example", "other.example")
    await world.get("a.shop.example")
    await world.get("A.shop.example")
    await world.get("other.example")
    world.register("other.example")
    await world.on_demand.forget_withdrawn()
    assert sorted(world.evicted) == ["A.shop.example", "a.shop.example"]
    assert world.ca.kept == {"other.example"}
    assert world.on_demand.refuses("a.shop.example")
    assert not world.on_demand.refuses("other.example")


async def test_a_domain_that_changes_hands_is_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    assert await world.get("shop.example") == "1"
    world.register("shop.example", tenant=BOB)
    assert world.ask("shop.example", waits=True) == "..."
    assert world.evicted == ["shop.example"]
    world.notified.clear()
    assert await world.get("shop.example") == "2"
    assert world.obtained == [("shop.example", ALICE), ("shop.example", BOB)]


async def test_an_order_for_a_withdrawn_domain_is_cancelled() -> None:
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


async def test_an_expired_certificate_is_not_served_and_is_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    world.ca.not_after = 2000.0
    assert await world.get("shop.example") == "1"
    world.now = 2001.0
    world.ca.not_after = 1e10
    world.notified.clear()
    assert await world.get("shop.example") == "2"


async def test_a_certificate_that_is_revoked_is_evicted_and_ordered_anew() -> None:
    world = World()
    world.register("shop.example")
    assert await world.get("shop.example") == "1"
    world.notified.clear()
    world.store.remove("shop.example")
    assert world.ask("shop.example", waits=False) == "no"
    world.notified.clear()
    assert await world.get("shop.example") == "2"


async def test_a_failed_order_evicts_nothing_from_a_client_that_holds_a_version() -> None:
    """After our restart an Envoy holds what we do not, and another one asks for it in vain."""
    world = World()
    world.register("shop.example")
    world.ca.failing = Fault("down")
    assert await world.get("shop.example") == "order_failed"
    assert world.ask("shop.example", waits=False) == "..."


async def test_what_only_envoy_has_is_not_evicted_while_vault_is_away() -> None:
    world = World()
    world.register("shop.example", "old.example")
    assert await world.get("shop.example") == "1"
    assert world.on_demand.could_serve_again("old.example")
    world.vault_is_healthy = False
    assert world.on_demand.could_serve_again("shop.example")
    assert not world.on_demand.could_serve_again("old.example")


async def test_what_only_envoy_has_is_not_evicted_while_its_ca_can_not_answer() -> None:
    """After a restart nothing is known of the CA: one name is ordered to see."""
    world = World(retry_seconds=5.0)
    names = ("a.example", "b.example", "c.example")
    world.register(*names)
    world.ca.failing = Fault("the gateway timed out")
    assert not any(world.on_demand.could_serve_again(name) for name in names)
    await until(lambda: world.failed == ["order_failed"])
    assert len(world.ca.orders) == 1, "a CA that hangs is not asked for all of them"
    world.now += 6.0
    world.ca.failing = None
    assert not any(world.on_demand.could_serve_again(name) for name in names)
    await until(lambda: world.on_demand.open_orders == 0)
    assert all(world.on_demand.could_serve_again(name) for name in names)
    world.now += 31.0
    assert world.on_demand.could_serve_again("a.example"), "it is held"
    assert not world.on_demand.could_serve_again("b.example"), "that was a while ago"
    assert world.on_demand.could_serve_again("unknown.example"), "it is refused in any case"


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
        assert set(world.notified) == {"shop.example", "SHOP.example"}

    async def test_an_unknown_name_is_refused_when_it_has_answered(self, world: World) -> None:
        assert await world.get("unknown.example") == "domain_unknown"
        assert world.ca.orders == []

    async def test_while_it_is_down_it_is_rarely_asked(self, world: World) -> None:
        world.registry.failing = True
        assert await world.get("shop.example") == "registry_unavailable"
        assert world.ask("shop.example") == "registry_unavailable"
        assert world.registry.asked == ["shop.example"]
        world.registry.failing = False
        world.now += 6
        world.notified.clear()
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

    async def test_what_it_no_longer_knows_is_evicted(self, world: World) -> None:
        assert await world.get("shop.example") == "1"
        world.registry.known.clear()
        world.register()
        assert world.ask("shop.example") == "1", "until it has answered"
        for _ in range(4):
            await asyncio.sleep(0)
        assert world.evicted == ["shop.example"]
        assert world.ask("shop.example") == "domain_unknown"
