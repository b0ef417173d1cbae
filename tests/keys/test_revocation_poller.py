"""When the list is published, and which state it has, whatever its source does."""

from collections.abc import Callable, Iterable

import pytest

from sidecar.common.errors import Fault
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.tokens.revocation import NOTHING_REVOKED, RevocationPart, Revocations, compile_entry
from sidecar.tokens.revocation_entry import RevocationEntry

ACTIVE, OUTAGE, DEGRADED = KeyState.ACTIVE, KeyState.OUTAGE, KeyState.DEGRADED
MAX_AGE = 100.0


class Source:
    """A source of one entry, which fails when a test says so and after what it had read by then."""

    name = "the list"

    def __init__(self) -> None:
        self.kids: tuple[str, ...] = ()
        self.read: tuple[str, ...] = ()
        self.fault: Exception | None = None

    def parts(self) -> Iterable[RevocationPart]:
        return compile_entry(RevocationEntry(self.read), 0.0, 930.0)

    async def poll(self, changed: Callable[[], None]) -> None:
        if self.read != self.kids:
            self.read = self.kids
            changed()
        if self.fault is not None:
            raise self.fault


class World:
    """A poller over it, with what it published and which changes of state it reported."""

    def __init__(self) -> None:
        self.source = Source()
        self.now = 0.0
        self.published: list[tuple[set[str], KeyState]] = []
        self.states: list[tuple[KeyState, KeyState, str]] = []
        self.poller = RevocationPoller(
            self.source,
            poll_seconds=10.0,
            max_age_seconds=MAX_AGE,
            clock=lambda: self.now,
            jitter=lambda: 0.0,
            publish=lambda revocations, state: self.published.append(
                (set(revocations.kids), state)
            ),
            on_state=lambda *change: self.states.append(change),
        )

    async def poll(self, *kids: str, fault: Exception | None = None, after: float = 10.0) -> None:
        self.now += after
        self.source.kids, self.source.fault = kids, fault
        await self.poller.refresh()


async def loaded(*kids: str) -> World:
    world = World()
    world.source.kids = kids
    await world.poller.load()
    return world


@pytest.mark.parametrize("fault", [Fault("no answer"), ValueError("a defect")])
async def test_a_start_that_can_not_read_everything_is_refused(fault: Exception) -> None:
    world = World()
    world.source.fault = fault
    with pytest.raises(Fault, match=r"no answer|ValueError"):
        await world.poller.load()
    assert (world.poller.lifecycle.state, world.states) == (KeyState.INIT, [])


async def test_an_empty_list_is_published_at_the_start() -> None:
    """The empty list of before the start means that nothing was read yet; this one was."""
    world = await loaded()
    assert world.published == [(set(), ACTIVE)]
    assert world.poller.revocations is NOTHING_REVOKED, "equal: caches depend on its identity"


async def test_only_what_is_new_is_published() -> None:
    world = await loaded("a")
    await world.poll("a")
    await world.poll("a", "b")
    await world.poll("a", "b")
    assert [kids for kids, _ in world.published[-2:]] == [{"a"}, {"a", "b"}]


async def test_the_same_list_stays_the_same_object() -> None:
    world = await loaded("a")
    before: Revocations = world.poller.revocations
    await world.poll("a", fault=Fault("away"))
    await world.poll("a")
    assert world.poller.revocations is before


async def test_an_outage_keeps_the_list_and_becomes_degraded_with_its_age() -> None:
    world = await loaded("a")
    for after, state in ((10.0, OUTAGE), (89.9, OUTAGE), (0.2, DEGRADED), (500.0, DEGRADED)):
        await world.poll("a", fault=Fault("no answer"), after=after)
        assert world.poller.lifecycle.state is state
        assert world.published[-1] == ({"a"}, state)
    await world.poll("a")
    assert world.states == [
        (ACTIVE, OUTAGE, "no answer"),
        (OUTAGE, DEGRADED, "no answer"),
        (DEGRADED, ACTIVE, ""),
    ]
    assert [state for _, state in world.published[-3:]] == [OUTAGE, DEGRADED, ACTIVE]


async def test_another_maximum_age_applies_to_the_list_there_is() -> None:
    world = await loaded("a")
    world.poller.set_times(10.0, 5.0)
    await world.poll("a", fault=Fault("away"), after=6.0)
    assert world.poller.lifecycle.state is DEGRADED


async def test_what_was_read_before_a_fault_is_in_force() -> None:
    """One entry that can't be read keeps back none of the others'."""
    world = await loaded("a")
    await world.poll("a", "b", fault=Fault("another entry"))
    assert world.poller.revocations.kids == {"a", "b"}
    assert world.published[-1] == ({"a", "b"}, OUTAGE)


async def test_a_list_that_could_not_be_published_is_not_taken_for_published() -> None:
    world = await loaded("a")
    publish, world.poller._publish = world.poller._publish, _fail
    await world.poll("a", "b")
    assert world.poller.lifecycle.state is OUTAGE
    assert "ValueError" in world.poller.status.problem
    assert world.poller.revocations.kids == {"a"}
    world.poller._publish = publish
    await world.poll("a", "b")
    assert world.published[-1] == ({"a", "b"}, ACTIVE)
    assert world.poller.status.problem == ""


def _fail(*_published: object) -> None:
    raise ValueError("a defect")
