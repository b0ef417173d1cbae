"""The app context: what becomes of a component's tasks, statuses and listeners."""

import asyncio
import logging

import pytest

from sidecar.common.polling import PollStatus
from sidecar.config import parse_config
from sidecar.context import AppContext, UnaskedEnd
from tests.authz.conftest import CONFIG
from tests.support.waiting import until

_log = logging.getLogger("test")


class World:
    """A context, and the exceptions that it reported."""

    def __init__(self) -> None:
        self.context = AppContext(parse_config(CONFIG, "test"))
        self.faults: list[BaseException] = []
        self.context.on_fault = self.faults.append  # type: ignore[assignment]

    @property
    def ends(self) -> tuple[bool, bool]:
        """Whether the process drains, and whether it then exits with 1."""
        return self.context.stop.is_set(), self.context.failed


@pytest.fixture
async def world() -> World:
    return World()


async def fail() -> None:
    raise ValueError("a defect")


async def test_a_components_task_that_fails_ends_the_process(world: World) -> None:
    world.context.spawn(fail())
    await until(lambda: world.faults)
    assert [type(fault) for fault in world.faults] == [ValueError]
    assert world.ends == (True, True)
    await world.context.stack.aclose()
    assert len(world.faults) == 1


async def test_a_components_task_that_is_done_ends_nothing(world: World) -> None:
    done = asyncio.Event()

    async def once() -> None:
        done.set()

    world.context.spawn(once())
    await done.wait()
    await world.context.stack.aclose()
    assert (world.faults, world.ends) == ([], (False, False))


async def test_a_drain_cancels_a_components_task_and_waits_for_it(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    world.context.spawn(run())
    await began.wait()
    await world.context.stack.aclose()
    assert ended.is_set()
    assert (world.faults, world.ends) == ([], (False, False))


async def test_a_task_that_anybody_else_cancels_ends_the_process(world: World) -> None:
    """With what it awaited: a cancelled future cancels who waits for it, without an exception."""
    awaited = asyncio.get_running_loop().create_future()

    async def run() -> None:
        await awaited

    world.context.spawn(run())
    awaited.cancel()
    await until(lambda: world.faults)
    assert isinstance(world.faults[0], UnaskedEnd)
    assert world.ends == (True, True)
    await world.context.stack.aclose()


async def test_what_runs_in_the_background_is_reported_and_ends_nothing(world: World) -> None:
    world.context.run_soon(fail())
    assert len(world.context._tasks) == 1, "the loop alone would not keep it alive"
    await until(lambda: not world.context._tasks)
    assert [type(fault) for fault in world.faults] == [ValueError]
    assert world.ends == (False, False)


async def test_a_polled_source_is_shown_as_it_is(world: World) -> None:
    status, facts = PollStatus("part", "the source", _log), world.context.health.facts
    world.context.watch(status)
    assert (facts, world.context.polls) == ({"part": "ok"}, [status])
    status.failed(OSError(5, "no answer"))
    assert facts == {"part": f"outage: {status.problem}"}
    assert "no answer" in facts["part"]
    status.succeeded()
    assert facts == {"part": "ok"}
    assert world.context.health.ready, "an outage of a source is no reason to get no requests"


async def test_a_source_that_is_no_longer_polled_is_shown_no_more(world: World) -> None:
    status, facts = PollStatus("part", "the source", _log), world.context.health.facts
    world.context.watch(status)
    world.context.unwatch(status)
    status.failed(OSError(5, "a read that was under way"))
    assert (facts, world.context.polls) == ({}, [])


class Listener:
    """A gRPC server that keeps what it was asked, and is its own health service."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    @property
    def health(self) -> "Listener":
        return self

    async def set_serving(self, serving: bool) -> None:
        self.asked.append(serving)

    async def start(self) -> None:
        self.asked.append("start")

    async def stop(self, grace_seconds: float) -> None:
        self.asked.append(grace_seconds)


async def test_a_listeners_health_is_the_processes_from_its_start_to_its_drain(
    world: World,
) -> None:
    listener, context = Listener(), world.context
    context.health.set_unhealthy("keys", "not read yet")
    await context.listen(listener)
    await until(lambda: not context._tasks)
    context.health.set_healthy("keys")
    await until(lambda: not context._tasks)
    await context.stack.aclose()
    assert listener.asked == ["start", False, True, context.config.listen.drain_seconds]


async def test_a_listener_that_does_not_start_is_not_stopped(world: World) -> None:
    class Broken(Listener):
        async def start(self) -> None:
            raise OSError("the address is in use")

    listener = Broken()
    with pytest.raises(OSError, match="in use"):
        await world.context.listen(listener)
    await world.context.stack.aclose()
    assert listener.asked == []
