"""The slow lane: calls that cost much are taken one a turn of the event loop.

A token that was not seen before costs a signature check. Thirty of them in one read would
hold up everyone behind them for milliseconds, and who sends forged tokens can always send
thirty. So one may be taken as it comes; the others wait their turn, and between two turns
whatever else has arrived is answered. What waits is bounded by the streams that may be open.

Whatever a call raises is its own caller's: the next turn is taken all the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class SlowLane:
    """One lane an event loop."""

    __slots__ = ("_busy", "_loop", "_moved_at", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False
        self._moved_at = 0.0

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    @property
    def stalled_seconds(self) -> float:
        """How long calls have waited without any of them being taken; 0 while none waits."""
        return self._loop.time() - self._moved_at if self._waiting else 0.0

    def free(self) -> bool:
        """Take the lane for this turn of the loop, if nobody has."""
        if self._busy:
            return False
        self._busy = True
        self._loop.call_soon(self._next)
        return True

    def later(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run ``function`` when its turn comes; what it raises is the future's exception."""
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._waiting:
            self._moved_at = self._loop.time()
        self._waiting.append((function, future))
        self.free()
        return future

    def _next(self) -> None:
        while self._waiting:
            function, future = self._waiting.popleft()
            if future.done():  # the caller has left
                continue
            self._moved_at = self._loop.time()
            try:
                _settle(function, future)
            finally:  # whatever came of it, the others get their turn
                self._loop.call_soon(self._next)
                del function, future  # an exception holds the frames it came through
            return
        self._busy = False


def _settle(function: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
    """Run a call and give its future what came of it."""
    try:
        result = function()
    except StopIteration as exc:  # no future takes one (PEP 479)
        failure: Exception = RuntimeError("the call raised StopIteration")
        failure.__cause__ = exc
    except Exception as exc:  # noqa: BLE001 - handed to the caller, whatever it is
        failure = exc
    else:
        if not future.done():  # it may have cancelled its own caller
            future.set_result(result)
        return
    if future.done():
        raise failure  # to the loop's exception handler: nobody else is there to hear it
    future.set_exception(failure)
    del future, failure
