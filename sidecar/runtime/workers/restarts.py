"""The pauses before a worker that has ended is started again: they grow while it ends early."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from workload.backoff import CONTENDED_JITTER_SHARE, Backoff

STEADY_SECONDS = 10.0
"""A process that ran for this long did not end early."""
RESTARTS = Backoff(0.1, 10.0, jitter_share=CONTENDED_JITTER_SHARE)


class RestartPauses:
    """One worker's: call ``started``, run the process, then ``wait``."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._started_at = clock()
        self._failures = 0

    def started(self) -> None:
        """Note that a process is started now."""
        self._started_at = self._clock()

    def next_seconds(self) -> float:
        """Return the pause after the process that has ended now."""
        steady = self._clock() - self._started_at >= STEADY_SECONDS
        self._failures = 0 if steady else self._failures + 1
        return RESTARTS.pause_seconds(self._failures + 1, self._jitter())

    async def wait(self, over: asyncio.Event, on_fault: Callable[[Exception], None]) -> None:
        """Pause before the next process, or until ``over`` is set.

        An exception of the sleep or the jitter goes to ``on_fault``; the longest pause follows.
        """
        try:
            await self._sleep_until(over, self.next_seconds())
        except Exception as exc:  # noqa: BLE001 - the supervisor's edge: it continues
            on_fault(exc)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), RESTARTS.max_seconds)

    async def _sleep_until(self, over: asyncio.Event, seconds: float) -> None:
        pause = asyncio.ensure_future(self._sleep(seconds))
        ended = asyncio.ensure_future(over.wait())
        await asyncio.wait([pause, ended], return_when=asyncio.FIRST_COMPLETED)
        for each in (pause, ended):
            each.cancel()
