"""Work that many ask for at once, done once for all who wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedRun(Generic[T]):
    """Runs ``work``, one run at a time; whoever asks during a run shares the next one.

    The one that is under way began before the question, and may not have seen what the asker
    wants seen. So however many ask, two runs answer them. A run goes on when its askers leave.
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._running: asyncio.Future[T] | None = None
        self._next: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """Return what a run that begins now or later comes to; raises what it raises."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._run_after(self._running))
        return await asyncio.shield(self._next)

    async def _run_after(self, before: "asyncio.Future[T] | None") -> T:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        return await self._work()
