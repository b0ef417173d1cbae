"""Look-ups of owners: one for each name, a bounded number, and a pause after a failure."""

import asyncio
from typing import Any

import pytest

from sidecar.certificates.on_demand import resolution_queue
from sidecar.certificates.on_demand.domains import RegistryFault
from sidecar.certificates.on_demand.names import NameRefused
from sidecar.certificates.on_demand.resolution_queue import ResolutionQueue
from tests.support.on_demand_world import MemoryRegistry

NAME = "shop.example"


class GatedRegistry(MemoryRegistry):
    """Answers when it may, with what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.raised: Exception | None = None

    async def resolve(self, name: str) -> None:
        self.asked.append(name)
        await self.may_answer.wait()
        if self.raised is not None:
            raise self.raised


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.registry = GatedRegistry()
        self.resolved: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: self.reported.append(context["exception"])
        )
        self.queue = ResolutionQueue(
            self.registry,
            retry_seconds=5.0,
            clock=lambda: self.now,
            resolved=self.resolved.append,
            failed=lambda *failure: self.failed.append(failure),
        )

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> World:
    return World()


async def test_all_spellings_wait_for_one_look_up(world: World) -> None:
    world.registry.may_answer.clear()
    for spelling in (NAME, "SHOP.example", NAME):
        world.queue.ask(NAME, spelling)
    await world.settle()
    assert world.resolved == []
    world.registry.may_answer.set()
    await world.settle()
    assert world.registry.asked == [NAME]
    assert sorted(world.resolved) == ["SHOP.example", NAME]
    world.queue.ask(NAME, NAME)
    await world.settle()
    assert world.registry.asked == [NAME, NAME], "what is known is the registry's to say"


FAILURES = [
    ("the registry's", RegistryFault("it answered 503"), "it answered 503", False),
    ("a defect", ZeroDivisionError("secret words"), "the domain registry: ZeroDivisionError", True),
]


@pytest.mark.parametrize(
    ("raised", "said", "is_defect"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_failure_is_not_repeated_at_once(
    world: World, raised: Exception, said: str, is_defect: bool
) -> None:
    world.registry.raised = raised
    world.queue.ask(NAME, NAME)
    await world.settle()
    ((name, message),) = world.failed
    assert (name, message[: len(said)]) == (NAME, said)
    assert "secret" not in message
    assert world.reported == ([raised] if is_defect else [])
    assert world.resolved == [NAME], "who waits is answered all the same"
    world.now += 4.9
    with pytest.raises(NameRefused, match="registry_unavailable"):
        world.queue.ask(NAME, NAME)
    world.now += 0.1
    world.registry.raised = None
    world.queue.ask(NAME, NAME)
    await world.settle()
    world.now -= 1.0
    world.queue.ask(NAME, NAME)  # a success ends the pause
    await world.settle()
    assert len(world.registry.asked) == 3


async def test_only_so_many_are_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolution_queue, "MAX_QUEUED", 2)
    world.registry.may_answer.clear()
    for name in "ab":
        world.queue.ask(name, name)
    world.queue.ask("a", "A")
    with pytest.raises(NameRefused, match="registry_busy"):
        world.queue.ask("c", "c")
    world.registry.may_answer.set()
    await world.settle()
    world.queue.ask("c", "c")
    await world.settle()
    assert world.registry.asked == ["a", "b", "c"]


async def test_failures_are_remembered_of_the_latest_names(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolution_queue, "MAX_UNRESOLVABLE", 2)
    world.registry.raised = RegistryFault("down")
    for name in "abc":
        world.queue.ask(name, name)
        await world.settle()
    world.queue.ask("a", "a")
    for name in "bc":
        with pytest.raises(NameRefused, match="registry_unavailable"):
            world.queue.ask(name, name)
    await world.settle()


async def test_closing_cancels_what_is_open(world: World) -> None:
    world.registry.may_answer.clear()
    world.queue.ask(NAME, NAME)
    await world.settle()
    await world.queue.close()
    assert (world.resolved, world.failed) == ([], [])
    world.registry.may_answer.set()
    world.queue.ask(NAME, NAME)
    await world.settle()
    assert world.resolved == [NAME], "its place is free"
