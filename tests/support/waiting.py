"""Wait for an event: never sleep for a time that should do, and then assert."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 60.0
"""Generous: a busy machine is slow, and a test that holds ends at once all the same."""
_PAUSE_SECONDS = 0.01


async def until(
    condition: Callable[[], object],
    seconds: float = SECONDS,
    *,
    explain: Callable[[], object] = str,
    task: "asyncio.Task[None] | None" = None,
) -> None:
    """Let the event loop run until ``condition`` holds; fail after ``seconds``.

    ``explain`` says what there is instead. A ``task`` that ends before fails the test at once.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it does not happen: {explain()}"
        assert task is None or not task.done(), f"the task has ended: {task}"
        await asyncio.sleep(_PAUSE_SECONDS)


def wait_until(
    condition: Callable[[], object],
    seconds: float = SECONDS,
    *,
    explain: Callable[[], object] = str,
) -> None:
    """Wait, as ``until``, for what happens in another thread or process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it does not happen: {explain()}"
        time.sleep(_PAUSE_SECONDS)
