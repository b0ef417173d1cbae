"""Calls in lanes: one that hangs holds up its own lane, for as long as its patience."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from sidecar.common.blocking import BlockingRunnerBusy
from sidecar.common.lanes import LanedRunner, lane


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging calls wait for; opened at the end so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_lane_that_hangs_delays_no_other(gate: threading.Event) -> None:
    runner = LanedRunner("test", 2)
    with lane("strangers"):
        hanging = [asyncio.create_task(runner.run(gate.wait, 60)) for _ in range(5)]
    await asyncio.sleep(0)
    with lane("renewals"):
        assert await runner.run(lambda: "done", 5) == "done"
    assert await runner.run(lambda: "without a lane", 5) == "without a lane"
    gate.set()
    assert all(await asyncio.gather(*hanging)), "and those that waited for a thread have had one"


async def test_waiting_for_a_thread_is_part_of_the_patience(gate: threading.Event) -> None:
    runner = LanedRunner("test", 1)
    first = asyncio.create_task(runner.run(gate.wait, 60))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await runner.run(lambda: "never", 0.01)
    gate.set()
    assert await first
    assert await runner.run(lambda: "free", 5) == "free"


async def test_calls_that_were_given_up_keep_their_threads_and_these_are_bounded(
    gate: threading.Event,
) -> None:
    runner = LanedRunner("test", 1)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await runner.run(gate.wait, 0.01)
    with pytest.raises(BlockingRunnerBusy):
        await runner.run(gate.wait, 5)


async def test_a_closed_one_takes_no_calls_in_any_lane() -> None:
    runner = LanedRunner("test", 1)
    assert await runner.run(lambda: 1, 5) == 1
    runner.close()
    for name in ("", "new"):
        with lane(name), pytest.raises(BlockingRunnerBusy):
            await runner.run(lambda: 1, 5)
