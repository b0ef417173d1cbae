"""The cache of a resolver's answers: how long each counts, what is looked up again, its bounds."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from sidecar.certificates.on_demand import resolved_registry
from sidecar.certificates.on_demand.domains import (
    UNRESOLVED,
    Registration,
    RegistryFault,
)
from sidecar.certificates.on_demand.names import NameRefused, parents_of
from sidecar.certificates.on_demand.resolved_registry import Patterns, ResolvedRegistry
from sidecar.common.polling import PollStatus
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.vault.errors import VaultUnreachable
from tests.support.polls import Polls, settle

POSITIVE, NEGATIVE = 300.0, 10.0
DOMAIN = "shop.example"
NAME = "www.shop.example"


class Domains:
    """A resolver whose domains are in memory."""

    name = "memory"

    def __init__(self) -> None:
        self.registered: dict[str, Registration] = {}
        self.failing = False
        self.asked: list[str] = []
        self.unlisted: set[str] = set()
        self.same: list[str] = []
        self.told = 0
        self.status = PollStatus("domains", self.name, logging.getLogger("test"))

    def register(self, domain: str, tenant: str = "a", *, shared: bool = False) -> None:
        self.registered[domain] = Registration(domain, tenant, shared=shared)

    def patterns(self, name: str) -> Patterns:
        return Patterns([name] if self.lists(name) else [], parents_of(name))

    async def look_up(self, pattern: str) -> Registration | None:
        self.asked.append(pattern)
        if self.failing:
            raise RegistryFault("down")
        return self.registered.get(pattern)

    async def unchanged(self) -> list[str]:
        self.told += 1
        return self.same

    def lists(self, pattern: str) -> bool:
        return pattern not in self.unlisted

    async def start(self) -> None: ...

    async def run(self) -> None: ...

    async def refresh(self) -> None: ...


class World:
    """A registry, its clock, and one second of its loop at a time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.domains = Domains()
        self.published = NO_DOMAINS
        self.fails_to_publish = False
        self.polls = Polls()
        self.registry = ResolvedRegistry(
            self.domains,
            positive_ttl_seconds=POSITIVE,
            negative_ttl_seconds=NEGATIVE,
            clock=lambda: self.now,
            names_a_second=2.0,
            sleep=self.polls.sleep,
            publish=self.publish,
        )

    def publish(self, owners: RegisteredDomains) -> None:
        if self.fails_to_publish:
            raise RegistryFault("the workers are gone")
        self.published = owners

    async def find(self, name: str = NAME) -> Registration | None:
        """Return what is found in the end."""
        return await settle(self.registry, name)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    running = asyncio.create_task(made.registry.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


TTLS = [
    ("a registered name", True, POSITIVE),
    ("a name that is not registered", False, NEGATIVE),
]


@pytest.mark.parametrize(("there", "ttl"), [t[1:] for t in TTLS], ids=[t[0] for t in TTLS])
async def test_an_answer_counts_for_its_ttl(world: World, there: bool, ttl: float) -> None:
    if there:
        world.domains.register(DOMAIN)
    assert world.registry.find(DOMAIN) is UNRESOLVED
    assert (await world.find(DOMAIN) is not None) is there
    world.domains.registered.clear()
    asked = len(world.domains.asked)
    world.now += ttl - 0.1
    assert (await world.find(DOMAIN) is not None) is there
    assert len(world.domains.asked) == asked, "from the cache"
    world.now += 0.1
    assert world.registry.find(DOMAIN) is UNRESOLVED
    assert await world.find(DOMAIN) is None


async def test_domains_above_are_asked_for_only_below_a_registered_name(world: World) -> None:
    assert await world.find("a.b.unknown.example") is None
    assert world.domains.asked == ["a.b.unknown.example"]
    world.domains.register(NAME)
    await world.find()
    assert world.domains.asked[1:] == [NAME, "shop.example"]
    assert len(world.registry) == 3


ABOVE = [
    ("the same tenant", "a", False, True),
    ("another tenant", "b", False, False),
    ("another one, who shares it", "b", True, True),
]


@pytest.mark.parametrize(
    ("tenant", "shared", "found"), [a[1:] for a in ABOVE], ids=[a[0] for a in ABOVE]
)
async def test_who_owns_the_domain_above(
    world: World, tenant: str, shared: bool, found: bool
) -> None:
    world.domains.register(NAME)
    world.domains.register("shop.example", tenant, shared=shared)
    if found:
        assert await world.find() == world.domains.registered[NAME]
    else:
        with pytest.raises(NameRefused, match="domain_of_other_tenant"):
            await world.find()


async def test_a_name_whose_upper_domain_is_not_known_yet_is_not_found(world: World) -> None:
    world.domains.register(NAME)
    await world.find()
    world.now += NEGATIVE  # that nobody has the domain above counts for less long
    assert world.registry.find(NAME) is UNRESOLVED


async def test_a_failed_look_up_is_counted_and_not_cached(world: World) -> None:
    world.domains.failing = True
    with pytest.raises(RegistryFault, match="down"):
        await world.registry.resolve(NAME)
    assert world.registry.outcomes == {"ok": 0, "failed": 1}
    assert world.registry.find(NAME) is UNRESOLVED
    world.domains.failing = False
    assert await world.find() is None
    assert world.registry.outcomes == {"ok": 1, "failed": 1}


async def test_the_cache_drops_the_oldest_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolved_registry, "MAX_REMEMBERED", 2)
    for name in ("a.example", "b.example", "c.example"):
        await world.find(name)
    assert len(world.registry) == 2
    assert world.registry.find("a.example") is UNRESOLVED
    assert world.registry.find("c.example") is None


class TestNamesThatClientsHold:
    async def test_they_are_looked_up_again_when_their_ttl_is_over(self, world: World) -> None:
        world.domains.register("shop.example")
        await world.find("shop.example")
        await world.polls.poll()
        assert world.domains.asked == ["shop.example"]
        world.domains.register("shop.example", "b")
        world.now += POSITIVE
        await world.polls.poll()
        assert world.domains.asked == ["shop.example"] * 2
        assert world.published.owner_of("shop.example") == "b", "though no client asks"

    async def test_one_that_fails_is_not_retried_at_once_and_keeps_its_owner(
        self, world: World
    ) -> None:
        world.domains.register("shop.example")
        await world.find("shop.example")
        world.now += POSITIVE
        world.domains.failing = True
        for _ in range(3):
            await world.polls.poll()
        assert len(world.domains.asked) == 2
        assert world.domains.status.problem == "down"
        assert world.published.owner_of("shop.example") == "a"
        world.now += NEGATIVE
        await world.polls.poll()
        assert len(world.domains.asked) == 3

    async def test_no_more_than_so_many_a_second(self, world: World) -> None:
        names = [f"n{number}.example" for number in range(5)]
        for name in names:
            world.domains.register(name)
            await world.find(name)
        world.domains.asked.clear()
        world.now += POSITIVE
        for count in (2, 4, 5, 5):
            await world.polls.poll()
            assert len(world.domains.asked) == count
        assert world.domains.asked == names, "the one that is due the longest comes first"

    async def test_new_names_do_not_hold_them_up(self, world: World) -> None:
        world.domains.register("held.example")
        await world.find("held.example")
        world.now += POSITIVE
        for number in range(10):
            world.registry.want(f"new{number}.example")
        world.domains.asked.clear()
        await world.polls.poll()
        assert world.domains.asked == ["held.example", "new0.example", "new1.example"]

    async def test_only_so_many_are_kept(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resolved_registry, "MAX_HELD", 2)
        monkeypatch.setattr(resolved_registry, "MAX_WANTED", 2)
        for name in ("a.example", "b.example", "c.example"):
            world.domains.register(name)
            await world.find(name)
        for name in ("c.example", "d.example", "d.example", "e.example", "f.example"):
            world.registry.want(name)  # the first is held already
        world.domains.asked.clear()
        world.now += POSITIVE
        for _ in range(5):
            await world.polls.poll()
        assert sorted(world.domains.asked) == ["b.example", "c.example", "d.example", "e.example"]

    async def test_a_name_that_can_not_be_registered_is_not_looked_up(self, world: World) -> None:
        world.domains.unlisted.add("a.example")
        world.registry.want("a.example")
        await world.polls.poll()
        assert world.domains.asked == []


class TestOwners:
    async def test_they_are_published_as_they_become_known(self, world: World) -> None:
        world.domains.register(NAME, "Alice")
        world.domains.register("shop.example", "p", shared=True)
        await world.find()
        assert world.published.owner_of(NAME) == "alice"
        assert world.published.owner_of("shop.example") is None, "of a shared one nobody is"
        world.now += POSITIVE
        world.domains.registered.clear()
        await world.find()
        assert world.published.owner_of(NAME) is None

    async def test_a_domain_that_is_no_longer_listed_has_no_owner(self, world: World) -> None:
        for name in ("a.example", "b.example"):
            world.domains.register(name)
            await world.find(name)
        world.domains.unlisted.add("a.example")
        world.registry.drop_unlisted()
        assert world.published.owner_of("a.example") is None
        assert world.published.owner_of("b.example") == "a"

    async def test_what_could_not_be_published_is_published_next_time(self, world: World) -> None:
        world.domains.register("a.example")
        world.fails_to_publish = True
        with pytest.raises(RegistryFault, match="workers"):
            await world.registry.resolve("a.example")
        world.fails_to_publish = False
        await world.registry.resolve("a.example")
        assert world.published.owner_of("a.example") == "a"

    async def test_only_so_many_are_known(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resolved_registry, "MAX_OWNERS", 1)
        for name in ("a.example", "b.example"):
            world.domains.register(name)
        await world.registry.resolve("a.example")
        with pytest.raises(RegistryFault, match="more than 1 domains have known owners"):
            await world.registry.resolve("b.example")
        assert world.published.owner_of("a.example") == "a"


async def hold(world: World, count: int) -> list[str]:
    """Have clients hold so many names, and all of them be due."""
    world.domains.register(DOMAIN)
    names = [f"n{number}.{DOMAIN}" for number in range(count)]
    for name in names:
        world.domains.register(name)
        await world.find(name)
    world.domains.same = [DOMAIN, *names]
    world.now += POSITIVE
    world.domains.asked.clear()
    return names


async def test_what_clients_hold_and_has_not_changed_is_renewed_without_a_look_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolved_registry, "MIN_RENEWED", 5)
    names = await hold(world, 5)
    await world.polls.poll()
    assert (world.domains.told, world.domains.asked) == (1, [])
    world.now += POSITIVE - 1
    assert all(world.registry.find(name) for name in names), "for a TTL more"
    await world.polls.poll()
    assert world.domains.told == 1, "once a TTL"
    world.now += 1
    await world.polls.poll()
    assert (world.domains.told, world.domains.asked) == (2, [])


async def test_what_has_changed_is_looked_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolved_registry, "MIN_RENEWED", 5)
    await hold(world, 5)
    world.domains.same.remove(f"n2.{DOMAIN}")
    world.domains.register(f"n2.{DOMAIN}", shared=True)
    await world.polls.poll()
    assert world.domains.asked == [f"n2.{DOMAIN}"]
    assert await world.find(f"n2.{DOMAIN}") == Registration(f"n2.{DOMAIN}", "a", shared=True)


@pytest.mark.parametrize("gone", [DOMAIN, "all"])
async def test_below_a_domain_that_may_have_changed_every_name_is_looked_up(
    world: World, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """A name is its owner's only as long as what is above it is not another's."""
    monkeypatch.setattr(resolved_registry, "MIN_RENEWED", 5)
    await hold(world, 5)
    world.domains.same = [] if gone == "all" else world.domains.same[1:]
    await world.polls.poll()
    assert f"n0.{DOMAIN}" in world.domains.asked


async def test_few_names_are_looked_up_each(world: World) -> None:
    await hold(world, 5)
    await world.polls.poll()
    assert world.domains.told == 0
    assert f"n0.{DOMAIN}" in world.domains.asked


async def test_while_vault_does_not_answer_no_name_is_looked_up_again(world: World) -> None:
    """The list is polled, more and more rarely, and tells when it answers again."""
    await hold(world, 5)
    world.domains.status.failed(VaultUnreachable("away"))
    await world.polls.poll()
    assert world.domains.asked == []
    world.domains.status.succeeded()
    await world.polls.poll()
    assert f"n0.{DOMAIN}" in world.domains.asked
