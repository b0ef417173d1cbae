"""One task at a time: what replaces it, what it raises, and its owner's end."""

import asyncio

import pytest

from sidecar.common.current_task import CurrentTask
from tests.support.waiting import until


async def test_what_replaces_it_runs_alone() -> None:
    running: list[str] = []

    def named(name: str) -> CurrentTask:
        async def run() -> None:
            running.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                running.remove(name)

        made.replace(run)
        return made

    made = CurrentTask()
    owner = asyncio.create_task(made.run())
    for name in ("first", "second"):
        named(name)
        await until(lambda name=name: running == [name])  # type: ignore[misc]
    made.replace(None)
    await until(lambda: not running)
    named("third")
    await until(lambda: running == ["third"])
    owner.cancel()
    await asyncio.gather(owner, return_exceptions=True)
    assert running == []


async def test_what_it_raises_reaches_the_owner() -> None:
    async def fail() -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await CurrentTask(fail).run()
