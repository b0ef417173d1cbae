"""The blocking runner: calls blocking libraries from the event loop without blocking it.

Threads can't be interrupted, so a call that hangs keeps its thread. There are few threads, the
caller waits for a bounded time, and when all of them hang a further call fails at once:
nothing is queued behind a call that hangs.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class BlockingRunnerBusy(Exception):
    """Every thread hangs in an earlier call, or the runner is closed."""


class BlockingRunner:
    """A few threads for the blocking calls of one kind.

    Each call gets a daemon thread instead of a pool's: the interpreter waits at exit for the
    threads of a pool, so one that hangs on a frozen server would block the exit. Starting a
    thread costs little compared with a call over the network.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._free = threading.Semaphore(threads)
        self._closed = False

    async def run(self, function: Callable[[], T], patience_seconds: float) -> T:
        """Run ``function`` in a thread; return its result or raise its exception.

        Raises ``BlockingRunnerBusy`` if no thread is free, ``TimeoutError`` if the call takes
        longer than ``patience_seconds``; the call's later result is then discarded.
        """
        if self._closed or not self._free.acquire(blocking=False):
            raise BlockingRunnerBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            result, failure = None, None
            try:
                result = function()
            except Exception as exc:  # noqa: BLE001 - passed to the caller
                failure = exc
            finally:
                self._free.release()
            try:
                loop.call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:
                return  # the loop is closed: nothing waits for the result

        try:
            threading.Thread(target=call, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._free.release()
            raise BlockingRunnerBusy from None
        async with asyncio.timeout(patience_seconds):
            return await future

    def close(self) -> None:
        """Accept no further calls. A thread that hangs ends with its time-out or the process."""
        self._closed = True


def _settle(future: "asyncio.Future[Any]", result: Any, failure: Exception | None) -> None:
    """Set the outcome of a call, unless its caller has stopped waiting."""
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    elif isinstance(failure, StopIteration):  # no future takes one (PEP 479)
        future.set_exception(RuntimeError("the call raised StopIteration"))
    else:
        future.set_exception(failure)
