"""A bounded thread pool that computes the digests of bundles.

The digest of four megabytes takes milliseconds, in which the event loop can answer hundreds of
Checks. The interpreter lock is released meanwhile, so a thread is enough. Every waiting bundle
is held in memory, so their number is bounded.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

T = TypeVar("T")
_THREADS = 2
_PATIENCE_SECONDS = 30.0


class DigestPool:
    """Verifies bundles off the event loop."""

    def __init__(self, max_waiting: int) -> None:
        self._runner = BlockingRunner("bundle", _THREADS)
        self._turn = asyncio.Semaphore(_THREADS)
        self._max_waiting = max_waiting
        self.waiting = 0

    async def run(self, function: Callable[[], T]) -> T:
        """Run ``function`` in a thread. Raises ``Denied(modules_busy)`` if too many wait."""
        if self.waiting >= self._max_waiting:
            raise Denied(Reason.MODULES_BUSY, f"{self.waiting} bundles are being checked")
        self.waiting += 1
        try:
            async with self._turn:
                return await self._runner.run(function, _PATIENCE_SECONDS)
        except (BlockingRunnerBusy, TimeoutError):
            raise Denied(Reason.MODULES_BUSY, "no thread is free") from None
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Stop taking bundles."""
        self._runner.close()
