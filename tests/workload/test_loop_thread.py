"""An event loop in a thread of its own."""

import asyncio
import os
import threading

import pytest

from workload.loop_thread import LoopThread


async def name() -> str:
    return threading.current_thread().name


def test_coroutines_run_there_and_raise_here() -> None:
    thread = LoopThread("loop", 10)
    assert thread.run(name()) == "loop"

    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        thread.run(fails())
    assert not thread.is_closed
    thread.close()
    thread.close()
    assert thread.is_closed


def test_what_takes_too_long_is_cancelled() -> None:
    thread = LoopThread("loop", 0.05)
    cancelled = threading.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        thread.run(never())
    assert cancelled.wait(10)
    thread._timeout_seconds = 10
    thread.close()


def test_a_child_leaves_its_parent_s_thread_alone() -> None:
    thread = LoopThread("loop", 10)
    thread._process = os.getppid()  # as if this were the child
    assert thread.is_foreign
    thread.close()
    thread._process = os.getpid()
    assert thread.run(name()) == "loop"
    thread.close()
