"""From the event loop to libraries that block, and back, without being held up by them.

Threads can't be interrupted, so a call that hangs keeps its thread. There are few, the
caller waits for a bounded time, and when all of them hang a further call fails at once:
nothing queues behind what does not move.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class BlockingRunnerBusy(Exception):  # noqa: N818 - what it is, not what it does
    """Every thread hangs in an earlier call, or the bridge is closed."""


class BlockingRunner:
    """A few threads for the blocking calls of one kind.

    A daemon thread a call, and not a pool: the interpreter waits at its end for the threads
    of a pool, so one that hangs on a frozen server would hold up the exit. Starting a thread
    is nothing beside a call over the network.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._free = threading.Semaphore(threads)
        self._closed = False

    async def run(self, function: Callable[[], T], patience_seconds: float) -> T:
        """Run ``function`` in a thread and return what it returns, or raise what it raises.

        Raises ``BlockingRunnerBusy`` if no thread is free, ``TimeoutError`` if the answer takes
        longer than the caller's patience; the call itself then ends unheard.
        """
        if self._closed or not self._free.acquire(blocking=False):
            raise BlockingRunnerBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            result, failure = None, None
            try:
                result = function()
            except Exception as exc:  # noqa: BLE001 - handed to the caller, whatever it is
                failure = exc
            finally:
                self._free.release()
            try:
                loop.call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        try:
            threading.Thread(target=call, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._free.release()
            raise BlockingRunnerBusy from None
        async with asyncio.timeout(patience_seconds):
            return await future

    def close(self) -> None:
        """Take no further calls. A thread that hangs ends with its time-out or with us."""
        self._closed = True


def _settle(future: "asyncio.Future[Any]", result: Any, failure: Exception | None) -> None:
    """Hand over the outcome of a call, unless its caller has left."""
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    elif isinstance(failure, StopIteration):  # no future takes one (PEP 479)
        future.set_exception(RuntimeError("the call raised StopIteration"))
    else:
        future.set_exception(failure)
