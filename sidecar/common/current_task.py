"""The task of a poller that a reload may replace: one runs at a time, until its owner ends."""

import asyncio
from collections.abc import Awaitable, Callable

Run = Callable[[], Awaitable[None]]
"""Runs until it is cancelled."""


async def _nothing() -> None:
    await asyncio.Event().wait()


class CurrentTask:
    """Runs what was set last. What it raises ends ``run``, as an owner's own task would."""

    def __init__(self, current: Run | None = None) -> None:
        self._current = current or _nothing
        self._replaced = asyncio.Event()

    def replace(self, current: Run | None) -> None:
        """Cancel what runs, and run this instead; ``None`` for nothing."""
        self._current = current or _nothing
        self._replaced.set()

    async def run(self) -> None:
        """Run the current one, and whatever replaces it, until cancelled."""
        while True:
            self._replaced.clear()
            running = asyncio.ensure_future(self._current())
            replaced = asyncio.ensure_future(self._replaced.wait())
            try:
                await asyncio.wait((running, replaced), return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
            finally:
                running.cancel()
                replaced.cancel()
                await asyncio.gather(running, replaced, return_exceptions=True)
