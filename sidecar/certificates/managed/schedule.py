"""The schedule of the managed certificates: a heap of what is due next for each.

An entry whose certificate was planned anew, is being worked on, or is no longer kept is passed
over. What is due is ``ManagedCertificate.next_due``.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.common.clock import Now

MAX_SLEEP_SECONDS = 30.0
"""Long sleeps are cut: after a suspend, or when the clock was corrected, what has ended
meanwhile is noticed within a minute."""
_SPARE_ENTRIES = 64


class RenewalSchedule:
    """When each of the ``kept`` certificates is due. ``kept`` is the manager's own table."""

    def __init__(
        self,
        kept: Mapping[str, ManagedCertificate],
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._kept = kept
        self._now = now
        self._sleep = sleep
        self._heap: list[tuple[float, int, ManagedCertificate]] = []
        self._sequence = count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many entries there are, those that are passed over included."""
        return len(self._heap)

    def plan(self, managed: ManagedCertificate) -> None:
        """Schedule what is due next for a certificate, in place of what was scheduled before."""
        managed.due = managed.next_due(self._now())
        heapq.heappush(self._heap, (managed.due, next(self._sequence), managed))
        if len(self._heap) > 2 * len(self._kept) + _SPARE_ENTRIES:
            # A forgotten certificate would stay in the schedule for months, with its key: names
            # on demand come and go every hour.
            self._heap = [(each.due, next(self._sequence), each) for each in self._kept.values()]
            heapq.heapify(self._heap)
        self._changed.set()

    def next_due(self) -> ManagedCertificate | None:
        """Take the next certificate for which something is due now; ``None`` if there is none."""
        while self._heap and self._heap[0][0] <= self._now():
            due, _, managed = heapq.heappop(self._heap)
            is_kept = self._kept.get(managed.name) is managed
            if is_kept and managed.due == due and not managed.running:
                return managed
        return None

    async def wait(self) -> None:
        """Sleep until something is due, or until the schedule has changed since the last wait."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if self._heap:
            seconds = max(0.0, self._heap[0][0] - self._now())
            waits.append(asyncio.ensure_future(self._sleep(min(seconds, MAX_SLEEP_SECONDS))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        self._changed.clear()
