"""The slow lane: calls that cost much are taken one a turn of the event loop.

A token that was not seen before costs a signature check. Thirty of them in one read would
hold up everyone behind them for milliseconds, and who sends forged tokens can always send
thirty. So one may be taken as it comes; the others wait their turn, and between two turns
whatever else has arrived is answered. What waits is bounded by the streams that may be open.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class SlowLane:
    """One lane an event loop."""

    __slots__ = ("_busy", "_loop", "_waiting", "deferred")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False
        self.deferred = 0

    def free(self) -> bool:
        """Take the lane for this turn of the loop, if nobody has."""
        if self._busy:
            return False
        self._busy = True
        self._loop.call_soon(self._next)
        return True

    def later(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run ``function`` when its turn comes."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((function, future))
        self.deferred += 1
        return future

    def _next(self) -> None:
        while self._waiting:
            function, future = self._waiting.popleft()
            if future.done():  # the caller has left
                continue
            future.set_result(function())
            self._loop.call_soon(self._next)
            return
        self._busy = False
