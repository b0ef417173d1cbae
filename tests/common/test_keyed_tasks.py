"""Several tasks at a time: which begin, end and go on when others are set, and what they raise."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecar.common.keyed_tasks import KeyedTasks
from tests.support.waiting import until


class Running:
    """The names of the tasks that run, and of every start."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.starts: list[str] = []

    def task(self, name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            self.starts.append(name)
            self.now.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.now.remove(name)

        return run


async def test_a_task_whose_key_stays_goes_on() -> None:
    running = Running()
    tasks = KeyedTasks({name: running.task(name) for name in "ab"})
    owner = asyncio.create_task(tasks.run())
    await until(lambda: sorted(running.now) == ["a", "b"])
    tasks.use({name: running.task(name) for name in "bc"})
    await until(lambda: sorted(running.now) == ["b", "c"])
    assert sorted(running.starts) == ["a", "b", "c"], "b was not begun again"
    tasks.use({})
    await until(lambda: not running.now)
    tasks.use({"a": running.task("a")})
    await until(lambda: running.now == ["a"])
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)
    assert running.now == []


async def test_what_one_raises_reaches_the_owner_and_ends_the_others() -> None:
    running = Running()
    tasks = KeyedTasks({"a": running.task("a")})
    owner = asyncio.create_task(tasks.run())
    await until(lambda: running.now == ["a"])

    async def fail() -> None:
        raise LookupError("a bug")

    tasks.use({"a": running.task("a"), "b": fail})
    with pytest.raises(LookupError, match="a bug"):
        await owner
    assert running.now == []


async def test_one_that_ends_is_not_begun_again() -> None:
    running = Running()
    begun: list[int] = []

    async def end() -> None:
        begun.append(1)

    tasks = KeyedTasks({"short": end, "a": running.task("a")})
    owner = asyncio.create_task(tasks.run())
    await until(lambda: running.now == ["a"] and begun)
    tasks.use({"short": end, "b": running.task("b")})
    await until(lambda: running.now == ["b"])
    assert begun == [1]
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)
