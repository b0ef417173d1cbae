"""Many who wait for one thing are not woken in one turn of the event loop.

A thousand calls that wait for one answer are a thousand tasks that would all run before
anything else is looked at. So a few are woken a turn, and what has arrived is answered between.
"""

import asyncio
from collections import deque
from typing import TypeVar

T = TypeVar("T")
WAKES_A_TURN = 4


def settle_paced(waiting: "deque[tuple[asyncio.Future[T], T]]") -> None:
    """Give each future its result, ``WAKES_A_TURN`` a turn; who has left is passed over."""
    woken = 0
    while waiting and woken < WAKES_A_TURN:
        future, result = waiting.popleft()
        if not future.done():
            future.set_result(result)
            woken += 1
    if waiting:
        asyncio.get_running_loop().call_soon(settle_paced, waiting)
