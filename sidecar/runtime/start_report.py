"""Says what the start waits for: at once in ``/readyz``, and every few seconds in the log."""

import logging
from collections.abc import Awaitable, Callable

from sidecar.observability.health import Health
from sidecar.observability.waits import Waits

REPORT_SECONDS = 5.0
_PART = "start"

_log = logging.getLogger("sidecar")


class StartReport:
    """Makes the process not ready until ``done``; ``run`` is a task for the time until then."""

    def __init__(
        self, health: Health, waits: Waits, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._health = health
        self._waits = waits
        self._sleep = sleep
        waits.on_change = self._show
        self._show()

    async def run(self) -> None:
        """Log what is waited for every ``REPORT_SECONDS``, until cancelled."""
        while True:
            await self._sleep(REPORT_SECONDS)
            if timed := self._waits.timed:
                _log.warning("the start waits for %s", timed)

    def done(self) -> None:
        """Note that the start is over; what is waited for from now on is no reason."""
        self._waits.on_change = lambda: None
        self._health.set_healthy(_PART)

    def _show(self) -> None:
        names = self._waits.names
        self._health.set_unhealthy(_PART, f"waits for {names}" if names else "not started yet")
