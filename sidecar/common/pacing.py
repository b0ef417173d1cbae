"""Wakes many waiters of one result over several iterations of the event loop.

A thousand calls that wait for one result are a thousand tasks that would all run before any
other event is handled. So a few are woken in each iteration.
"""

import asyncio
from collections import deque
from typing import TypeVar

T = TypeVar("T")
WAKES_A_TURN = 4


def settle_paced(waiting: "deque[tuple[asyncio.Future[T], T]]") -> None:
    """Give each future its result, ``WAKES_A_TURN`` in each iteration; skip cancelled ones."""
    woken = 0
    while waiting and woken < WAKES_A_TURN:
        future, result = waiting.popleft()
        if not future.done():
            future.set_result(result)
            woken += 1
    if waiting:
        asyncio.get_running_loop().call_soon(settle_paced, waiting)
