"""The slow lane: expensive calls run one per iteration of the event loop, or a few.

A token that was not seen before costs a signature check. Thirty of them in one read would delay
every other call by milliseconds, and an attacker can always send thirty forged tokens. So one
may run at once; the others are queued, and between two of them everything else that has arrived
is answered. The queue is bounded by the number of open streams.

An iteration of the loop costs a quarter of a signature check. Where nothing else was answered for
``QUIET_SECONDS``, there is nobody to be delayed, and ``BATCH`` calls run in one iteration.

An exception of a call goes to its own caller; the next call runs nevertheless.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
BATCH = 4
QUIET_SECONDS = 0.05


class SlowLane:
    """One lane per event loop.

    ``answered`` returns how many calls the process has answered, those of the lane among them.
    Without it one call runs per iteration.
    """

    __slots__ = ("_answered", "_beside_at", "_busy", "_loop", "_moved_at", "_seen", "_waiting")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, answered: Callable[[], int] | None = None
    ) -> None:
        self._loop = loop
        self._answered = answered
        self._seen = 0
        """How many were answered when the lane last looked."""
        self._beside_at = loop.time()
        """When it was last seen that others were answered."""
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
        self._seen += 1  # the call that runs now is none of the others
        self._come_back()
        return True

    def _come_back(self) -> None:
        self._busy = True
        self._loop.call_soon(self._next)

    def later(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Queue ``function``; the future gets its result or exception."""
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._waiting:
            self._moved_at = self._loop.time()
        self._waiting.append((function, future))
        if not self._busy:
            self._come_back()
        return future

    def _next(self) -> None:
        """Run the calls of one iteration, and have the loop come back while there are more."""
        if not self._waiting:
            self._busy = False
            return
        now = self._moved_at = self._loop.time()
        self._come_back()  # in any case the next call runs
        for _ in range(self._batch(now)):
            if not self._run_one():
                break
        if self._answered is not None:
            self._seen = self._answered()

    def _batch(self, now: float) -> int:
        """Return how many calls may run in this iteration."""
        if self._answered is None:
            return 1
        if self._answered() > self._seen:
            self._beside_at = now
        return BATCH if now - self._beside_at >= QUIET_SECONDS else 1

    def _run_one(self) -> bool:
        """Run the next call whose caller has not left; return whether there was one."""
        while self._waiting:
            function, future = self._waiting.popleft()
            if future.done():  # the caller has left
                continue
            try:
                _settle(function, future)
            finally:
                del function, future  # an exception references the frames it passed through
            return True
        return False


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
