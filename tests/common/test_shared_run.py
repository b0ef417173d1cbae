"""However many ask at once, two runs answer them; each asker gets one that began later."""

import asyncio

import pytest

from sidecar.common.shared_run import SharedRun


class Work:
    def __init__(self) -> None:
        self.began = 0
        self.at_once = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.began += 1
        self.at_once += 1
        number = self.began
        await self.may_end.wait()
        assert self.at_once == 1
        self.at_once -= 1
        return number


async def test_those_who_ask_during_a_run_share_the_next() -> None:
    work = Work()
    run = SharedRun(work)
    first = asyncio.create_task(run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.began == 1
    others = [asyncio.create_task(run()) for _ in range(100)]
    await asyncio.sleep(0)
    work.may_end.set()
    assert await first == 1
    assert set(await asyncio.gather(*others)) == {2}
    assert await run() == 3


async def test_a_run_goes_on_without_its_asker_and_a_fault_is_each_askers_own() -> None:
    work = Work()
    run = SharedRun(work)
    asker = asyncio.create_task(run())
    await asyncio.sleep(0)
    asker.cancel()
    await asyncio.gather(asker, return_exceptions=True)
    work.may_end.set()
    assert await run() == 2
    work.at_once = 1
    for _ in range(2):
        with pytest.raises(AssertionError):
            await run()
        work.at_once = 0
        assert await run() > 2
        work.at_once = 1
