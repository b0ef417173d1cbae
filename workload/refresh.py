"""Keeps something of Vault's fresh: a loop of steps that ``now`` drives.

What failed is tried again with back-off, displaces nothing that is held and ends no loop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from workload.clock import Now
from workload.errors import Fault

_log = logging.getLogger("workload")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""


class RefreshLoop:
    """Steps, each when it is due. ``failures_in_a_row`` are those since the last good one."""

    what = ""

    def __init__(self, now: Now, jitter: Callable[[], float]) -> None:
        self._now = now
        self._jitter = jitter
        self._wake = asyncio.Event()
        self.due = 0.0
        """When the next step is (Unix seconds)."""
        self.failures_in_a_row = 0

    async def load(self) -> None:
        """Get it once. Raises ``Fault``: there is nothing to go on with yet."""
        raise NotImplementedError

    def pause_after_failure(self) -> float:
        """Return how long to wait before the next try."""
        raise NotImplementedError

    def has_ended(self) -> bool:
        """Return whether what is held is of no use any more."""
        raise NotImplementedError

    def soon(self) -> None:
        """Have the next step made at once."""
        self.due = self._now()
        self._wake.set()

    async def run(self) -> None:
        """Make steps until cancelled."""
        while True:
            self._wake.clear()
            seconds = min(max(0.0, self.due - self._now()), _MAX_SLEEP_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            await self.step()

    async def step(self) -> None:
        """Get it anew, if that is due."""
        if self._now() < self.due:
            return
        try:
            await self.load()
        except Exception as exc:  # noqa: BLE001 - the loop's edge: a defect ends no renewal
            self._failed(exc)
        else:
            if self.failures_in_a_row:
                _log.info("%s is fresh again", self.what)
            self.failures_in_a_row = 0

    def _failed(self, exc: Exception) -> None:
        self.failures_in_a_row += 1
        after = exc.retry_after_seconds or 0.0 if isinstance(exc, Fault) else 0.0
        self.due = self._now() + max(self.pause_after_failure(), after)
        level = logging.ERROR if self.has_ended() else logging.WARNING
        if self.failures_in_a_row == 1 or level == logging.ERROR:
            why = str(exc) if isinstance(exc, Fault) else type(exc).__name__
            _log.log(level, "%s was not refreshed: %s", self.what, why)
