"""The desk: bundles are judged in threads, few at a time, and nobody waits without end."""

import asyncio
import threading

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.digest_pool import DigestPool
from tests.support.waiting import until


async def test_the_loop_goes_on_meanwhile() -> None:
    desk, begun, gate = DigestPool(4), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert gate.wait(10)
        return threading.current_thread().name

    waiting = asyncio.create_task(desk.run(slow))
    await until(begun.is_set)
    assert not waiting.done()
    gate.set()
    assert await waiting == "bundle"


async def test_too_many_are_told_to_come_again() -> None:
    desk, gate = DigestPool(3), threading.Event()
    running = [asyncio.create_task(desk.run(lambda: gate.wait(10))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Denied) as denied:
        await desk.run(lambda: True)
    assert denied.value.reason is Reason.MODULES_BUSY
    gate.set()
    assert await asyncio.gather(*running) == [True, True, True]
    assert desk.waiting == 0
    assert await desk.run(lambda: 7) == 7


async def test_a_refusal_comes_back_as_it_is_and_frees_the_place() -> None:
    desk = DigestPool(1)

    def refuse() -> None:
        raise Denied(Reason.MODULE_UNSIGNED)

    for _ in range(3):
        with pytest.raises(Denied) as denied:
            await desk.run(refuse)
        assert denied.value.reason is Reason.MODULE_UNSIGNED


async def test_who_leaves_frees_the_place() -> None:
    desk, begun, gate = DigestPool(1), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        gate.wait(10)

    gone = asyncio.create_task(desk.run(slow))
    await until(begun.is_set)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await desk.run(lambda: 7) == 7
    gate.set()


async def test_closed_it_takes_nothing() -> None:
    desk = DigestPool(1)
    desk.close()
    with pytest.raises(Denied) as denied:
        await desk.run(lambda: 7)
    assert denied.value.reason is Reason.MODULES_BUSY
