"""An event loop in a thread of its own, for code without one."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """Runs coroutines for any thread of the process that made it."""

    def __init__(self, name: str, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def is_foreign(self) -> bool:
        """Whether this process was forked after the thread was started, and has none."""
        return os.getpid() != self._process

    @property
    def is_closed(self) -> bool:
        """Whether it ended."""
        return self._loop.is_closed() or not self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a coroutine's result. Raises what it raises, and ``TimeoutError``."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(self._timeout_seconds)
        except FutureTimeout:
            future.cancel()
            raise TimeoutError from None

    def close(self) -> None:
        """End the loop and the thread."""
        if self.is_foreign or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._timeout_seconds)
        self._loop.close()
