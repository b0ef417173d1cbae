"""When a source is read again, with a sleep that the test ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from sidecar.common.polling import ChangePoll, PollLoop, PollStatus


class World:
    """A loop whose pauses end when told to, and which counts its reads."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.reads = 0
        self.most_at_once = self.at_once = 0
        self.sleeping: asyncio.Future[None] | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.loop = PollLoop(self.read, lambda: 10.0 + self.reads, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.sleeping = asyncio.get_running_loop().create_future()
        await self.sleeping

    async def read(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.reads += 1
        self.at_once -= 1

    def end_pause(self) -> None:
        assert self.sleeping is not None
        self.sleeping.set_result(None)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    running = asyncio.create_task(world.loop.run())
    await until(lambda: len(world.pauses) == 1)
    yield world
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_waits_before_it_reads_and_asks_for_each_pause_anew(world: World) -> None:
    assert (world.reads, world.pauses) == (0, [10.0])
    world.end_pause()
    await until(lambda: len(world.pauses) == 2)
    assert (world.reads, world.pauses) == (1, [10.0, 11.0])


async def test_who_asks_need_not_wait_for_the_pause_and_asks_once(world: World) -> None:
    world.loop.refresh_soon()
    world.loop.refresh_soon()
    await until(lambda: len(world.pauses) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (world.reads, len(world.pauses)) == (1, 2)


async def test_who_asks_while_it_is_read_has_it_read_again(world: World) -> None:
    world.gate.clear()
    world.loop.refresh_soon()
    await until(lambda: world.at_once == 1)
    world.loop.refresh_soon()
    world.gate.set()
    await until(lambda: world.reads == 2)


async def test_one_read_at_a_time(world: World) -> None:
    world.gate.clear()
    world.end_pause()
    await until(lambda: world.at_once == 1)
    by_hand = [asyncio.create_task(world.loop.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    world.gate.set()
    await asyncio.gather(*by_hand)
    assert (world.reads, world.most_at_once) == (4, 1)


async def test_what_a_sleep_raises_ends_the_loop() -> None:
    async def broken(_seconds: float) -> None:
        raise ZeroDivisionError

    async def read() -> None:
        raise AssertionError

    with pytest.raises(ZeroDivisionError):
        await PollLoop(read, lambda: 1.0, sleep=broken).run()


async def test_nothing_is_left_when_it_is_cancelled() -> None:
    world = World()
    running = asyncio.create_task(world.loop.run())
    await until(lambda: len(world.pauses) == 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_change_that_was_not_acted_on_is_handed_on_again_and_then_no_more() -> None:
    """Also where the next read finds nothing new, or fails before it."""
    reads: list[bool | Exception] = [
        False, True, False, ConnectionError(), False, False, True,
    ]  # fmt: skip
    acts: list[Exception | None] = [RuntimeError(), RuntimeError(), None, None]
    calls = 0

    async def read() -> bool:
        found = reads.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def act() -> None:
        nonlocal calls
        calls += 1
        result = acts.pop(0)
        if result is not None:
            raise result

    status = PollStatus("domains", "a source", logging.getLogger("sidecar"))
    poll = ChangePoll(status, read, act)
    seen: list[tuple[int, bool]] = []
    while reads:
        await poll()
        seen.append((calls, status.problem == ""))
    assert seen == [
        (0, True),  # nothing new
        (1, False),  # new, and not acted on
        (2, False),  # nothing new, still pending
        (2, False),  # can't be read
        (3, True),  # acted on
        (3, True),  # and not once more
        (4, True),
    ]
