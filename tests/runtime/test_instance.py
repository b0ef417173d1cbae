"""An instance takes the place of another one, or is closed and leaves it as it was."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from sidecar.common.clock import monotonic_ns
from sidecar.common.errors import Fault
from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.runtime import instance
from sidecar.runtime.instance import Instance, RestartRequests, hand_over, start_successor
from sidecar.runtime.service_manager import ServiceManager
from sidecar.transport.ports import JOINS
from tests.authz.conftest import CONFIG
from tests.support.waiting import until

LISTEN = "listen: {admin: {address: '127.0.0.1:1902'}, authz: {address: '127.0.0.1:1900'}}\n"


class World:
    """Two instances, and what was done to them in its order."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.done: list[str] = []
        self.joined: list[bool] = []
        self.running, self.successor = (self.make(name) for name in ("old", "new"))
        for each in (self.running, self.successor):
            stack.push_async_callback(each.close)

    def make(self, name: str, listen: str = LISTEN) -> Instance:
        config = parse_config(CONFIG + listen, "test")
        context = AppContext(config)
        manager = ServiceManager(None, context.health, context.waits, monotonic_ns)
        made = Instance(config, manager, context, take_over=name == "new")
        context.stack.callback(self.done.append, f"{name} closed")

        async def share(*, shared: bool) -> None:
            self.done.append(f"{name} {'shares' if shared else 'keeps'} its ports")

        async def stop_checks() -> None:
            self.done.append(f"{name} answers no Check")

        context.share_ports, context.stop_checks = share, stop_checks
        return made

    async def start(self, made: Instance) -> None:
        self.joined.append(JOINS.get())
        assert made is self.successor


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(stack)


async def test_a_successor_that_starts_takes_over_and_the_other_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await start_successor(world.running, world.successor, world.start) == ""
    assert world.joined == [True]
    assert not JOINS.get()
    monkeypatch.setattr(instance, "ANSWER_SECONDS", 0.01)
    await hand_over(world.running, world.successor, lambda: world.done.append("said"))
    assert world.done == [
        "old shares its ports",
        "old answers no Check",
        "said",
        "old closed",
        "new keeps its ports",
    ]


async def fail(_made: Instance) -> None:
    raise Fault("Vault is away")


async def break_down(_made: Instance) -> None:
    raise ZeroDivisionError


async def hang(_made: Instance) -> None:
    await asyncio.Event().wait()


async def end(made: Instance) -> None:
    made.context.end_with(ZeroDivisionError())
    await asyncio.Event().wait()


FAILURES: list[tuple[Callable[..., object], str]] = [
    (fail, "Vault is away"),
    (break_down, "an internal error (a bug in the sidecar): ZeroDivisionError"),
    (hang, "it was not ready within 0 s"),
    (end, "or the new one met a defect"),
]


@pytest.mark.parametrize(("start", "why"), FAILURES)
async def test_one_that_does_not_is_closed_and_the_other_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, start: instance.Start, why: str
) -> None:
    monkeypatch.setattr(instance, "RESTART_SECONDS", 0.05)
    assert why in await start_successor(world.running, world.successor, start)
    assert world.done == ["old shares its ports", "new closed", "old keeps its ports"]
    assert not world.running.context.stop.is_set()


async def test_a_signal_to_stop_ends_the_start_of_a_successor(world: World) -> None:
    starting = asyncio.create_task(start_successor(world.running, world.successor, hang))
    await until(lambda: world.done)
    world.running.context.stop.set()
    assert "shutting down" in await starting
    assert "new closed" in world.done


MOVED = [
    ("the admin port's", "{admin: {address: '127.0.0.1:1900'}, authz: {address: '127.0.0.1:1'}}",
     "127.0.0.1:1900 is that of Checks and would be that of listen.admin"),
    ("a worker's", ("{admin: {address: '127.0.0.1:7'}, authz: {address: '127.0.0.1:1901', "
     "workers: 2}}"), "127.0.0.1:1902 is that of listen.admin and would be that of Checks"),
]  # fmt: skip


@pytest.mark.parametrize("row", MOVED, ids=[row[0] for row in MOVED])
async def test_an_address_does_not_move_to_another_listener(
    world: World, row: tuple[str, str, str]
) -> None:
    _, listen, why = row
    world.successor = world.make("new", f"listen: {listen}\n")
    assert why in await start_successor(world.running, world.successor, world.start)
    assert world.joined == []


async def test_a_new_port_is_tried_before_anything_is_taken_over(world: World) -> None:
    async with await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0) as taken:
        port = taken.sockets[0].getsockname()[1]
        listen = LISTEN.replace("1902", str(port))
        world.successor = world.make("new", listen)
        why = await start_successor(world.running, world.successor, world.start)
    assert "in use" in why
    assert world.joined == []


async def test_a_request_waits_for_its_end() -> None:
    requests, stop = RestartRequests(), asyncio.Event()
    config = parse_config(CONFIG, "test")
    asked = asyncio.create_task(requests(config))
    request = await requests.next_before(stop)
    assert request is not None
    assert request.config is config
    request.ended.set_result("no Vault")
    assert await asked == "no Vault"
    waiting = asyncio.create_task(requests.next_before(stop))
    await asyncio.sleep(0)
    stop.set()
    assert await waiting is None
