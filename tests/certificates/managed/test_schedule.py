"""What is due when: the heap of the managed certificates, and how long nobody looks at it."""

import asyncio

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.schedule import MAX_SLEEP_SECONDS, RenewalSchedule
from tests.support.managed_world import Nobody


class World:
    """A schedule, and a sleep that lasts until it is let go."""

    def __init__(self, **due: float) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.may_wake = asyncio.Event()
        self.kept = {name: self.make(name, at) for name, at in due.items()}
        self.schedule = RenewalSchedule(self.kept, now=lambda: self.now, sleep=self.sleep)
        for each in self.kept.values():
            self.schedule.plan(each)

    def make(self, name: str, at: float) -> ManagedCertificate:
        managed = ManagedCertificate(Order(name, (name,)), Nobody())
        managed.try_at = at
        return managed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.may_wake.wait()

    def due(self) -> list[str]:
        found = []
        while (managed := self.schedule.next_due()) is not None:
            found.append(managed.name)
        return found


def test_what_is_due_comes_in_its_order_and_once() -> None:
    world = World(late=999.5, now=1000.0, early=10.0, later=1000.5)
    assert world.due() == ["early", "late", "now"]
    assert world.due() == []
    world.now = 1000.5
    assert world.due() == ["later"]


def test_what_was_planned_anew_comes_at_its_new_time_alone() -> None:
    world = World(a=1100.0)
    world.kept["a"].try_at = 1500.0
    world.schedule.plan(world.kept["a"])
    world.now = 1200.0
    assert world.due() == []
    world.now = 1500.0
    assert world.due() == ["a"]


def test_what_is_being_worked_on_is_passed_over() -> None:
    world = World(a=900.0)
    world.kept["a"].running = True
    assert world.due() == []


@pytest.mark.parametrize("put_anew", [False, True])
def test_what_was_forgotten_is_passed_over(put_anew: bool) -> None:
    world = World(a=900.0)
    del world.kept["a"]
    if put_anew:
        world.kept["a"] = world.make("a", 900.0)
        world.kept["a"].due = 900.0
    assert world.due() == [], "the one of that name which was planned is gone"


def test_entries_of_the_forgotten_do_not_pile_up() -> None:
    world = World(kept=2000.0)
    for number in range(1000):
        world.schedule.plan(world.make(f"shop{number}", 5000.0 + number))
        assert len(world.schedule) <= 2 * len(world.kept) + 64
    world.now = 2000.0
    assert world.due() == ["kept"]


PAUSES = [
    ("a while", 1010.0, [10.0]),
    ("as long as is slept at once", 1000.0 + MAX_SLEEP_SECONDS, [MAX_SLEEP_SECONDS]),
    ("longer than that", 1e9, [MAX_SLEEP_SECONDS]),
    ("it is overdue", 5.0, [0.0]),
]


@pytest.mark.parametrize(("at", "slept"), [p[1:] for p in PAUSES], ids=[p[0] for p in PAUSES])
async def test_it_sleeps_until_the_first_is_due(at: float, slept: list[float]) -> None:
    world = World(a=at, b=2e9)
    await world.schedule.wait()  # what was planned before the first wait is seen to at once
    world.slept.clear()
    waiting = asyncio.create_task(world.schedule.wait())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.slept == slept
    assert not waiting.done()
    world.may_wake.set()
    await waiting


async def test_a_plan_ends_the_sleep() -> None:
    world = World()
    waiting = asyncio.create_task(world.schedule.wait())
    await asyncio.sleep(0)
    assert world.slept == [], "with nothing to do it waits for a plan alone"
    world.kept["a"] = world.make("a", 1000.0)
    world.schedule.plan(world.kept["a"])
    await waiting
    assert world.due() == ["a"]
