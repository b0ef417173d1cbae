"""The bridge into threads: bounded, deaf to callers who have left, no burden at the end."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from tests.support.waiting import until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging calls wait for; opened at the end so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def fail() -> None:
    raise LookupError("from the thread")


async def test_what_a_call_returns_or_raises_comes_back() -> None:
    bridge = BlockingRunner("test", 1)
    name = await bridge.run(lambda: threading.current_thread().name, 5)
    assert name == "test"
    with pytest.raises(LookupError, match="from the thread"):
        await bridge.run(fail, 5)
    assert await bridge.run(lambda: 1, 5) == 1


async def test_calls_that_hang_keep_their_threads_and_no_more_are_taken(
    gate: threading.Event,
) -> None:
    bridge = BlockingRunner("test", 2)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await bridge.run(gate.wait, 0.01)
    with pytest.raises(BlockingRunnerBusy):
        await bridge.run(gate.wait, 5)
    gate.set()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await bridge.run(lambda: "free", 5) == "free"
            except BlockingRunnerBusy:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_failure_after_the_caller_has_left_is_dropped_in_silence(
    gate: threading.Event,
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    bridge = BlockingRunner("test", 1)

    begun = threading.Event()

    def fail_later() -> None:
        begun.set()
        gate.wait()
        fail()

    caller = asyncio.create_task(bridge.run(fail_later, 5))
    await until(begun.is_set)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    del caller
    gate.set()
    await asyncio.sleep(0.1)
    assert complaints == []


async def test_a_closed_bridge_takes_no_calls() -> None:
    bridge = BlockingRunner("test", 1)
    bridge.close()
    with pytest.raises(BlockingRunnerBusy):
        await bridge.run(lambda: None, 5)


LEAVE_A_CALL_BEHIND = """
import asyncio, contextlib, time
from sidecar.common.blocking import BlockingRunner
async def main():
    with contextlib.suppress(TimeoutError):
        await BlockingRunner("test", 1).run(lambda: time.sleep(60), 0.05)
asyncio.run(main())
"""


def test_a_call_that_hangs_does_not_hold_up_the_exit() -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_A_CALL_BEHIND], check=False, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert time.monotonic() - started < 10
