"""The slow lane: expensive calls run one per iteration of the event loop.

A token that was not seen before costs a signature check. Thirty of them in one read would delay
every other call by milliseconds, and an attacker can always send thirty forged tokens. So one
may run at once; the others are queued, and between two of them everything else that has arrived
is answered. The queue is bounded by the number of open streams.

An exception of a call goes to its own caller; the next call runs nevertheless.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class SlowLane:
    """One lane per event loop."""

    __slots__ = ("_busy", "_loop", "_moved_at", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False
        self._moved_at = 0.0

    def __len__(self) -> int:
        """Return how many calls are queued."""
        return len(self._waiting)

    @property
    def stalled_seconds(self) -> float:
        """How long calls have been queued without any of them starting; 0 for an empty queue."""
        return self._loop.time() - self._moved_at if self._waiting else 0.0

    def free(self) -> bool:
        """Return whether a call may run in this iteration, and if so claim it."""
        if self._busy:
            return False
        self._busy = True
        self._loop.call_soon(self._next)
        return True

    def later(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Queue ``function``; the future gets its result or exception."""
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
            finally:  # in any case the next call runs
                self._loop.call_soon(self._next)
                del function, future  # an exception references the frames it passed through
            return
        self._busy = False


def _settle(function: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
    """Run a call and set its future."""
    try:
        result = function()
    except StopIteration as exc:  # a future can't hold one (PEP 479)
        failure: Exception = RuntimeError("the call raised StopIteration")
        failure.__cause__ = exc
    except Exception as exc:  # noqa: BLE001 - passed to the caller
        failure = exc
    else:
        if not future.done():  # the call may have cancelled its own caller
            future.set_result(result)
        return
    if future.done():
        raise failure  # to the loop's exception handler, as no caller is left
    future.set_exception(failure)
    del future, failure
