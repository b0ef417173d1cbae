"""What is done when the operator asks for it: by SIGHUP, or on the admin port."""

from collections.abc import Callable

from sidecar.admin.routes import KeyRefresh
from sidecar.context import AppContext
from sidecar.keys.component import KeyPollers
from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.in_process import Checks


class HangUp:
    """What is done for SIGHUP; one that comes during the start is kept until it is over."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._then: tuple[Callable[[], None], ...] = ()
        self._is_due = False

    def __call__(self) -> None:
        """Have the audit file opened anew, everything read that is polled, and the settings."""
        self._is_due = not self._then
        if self._is_due:
            return
        for each in self._then:
            each()
        for refresh in self._context.refreshers:
            self._context.run_soon(refresh())

    def started(self, *then: Callable[[], None]) -> None:
        """Do this from now on."""
        self._then = then
        if self._is_due:
            self()


class KeyRefreshes:
    """Reads keys, revocations and whatever is polled again, when the operator requests it."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._started: tuple[KeyPollers, Checks] | None = None

    def started(self, pollers: KeyPollers, checks: Checks) -> None:
        """Serve requests from now on."""
        self._started = pollers, checks

    async def run(self) -> KeyRefresh:
        """Read every source now, and wait until the result applies in every process.

        The start is not over before each was read, so that a request then changes nothing.
        """
        if self._started is None:
            return KeyRefresh(KeyState.INIT, complete=False)
        keys, checks = self._started
        state = await keys.refresh()
        for refresh in self._context.refreshers:
            await refresh()
        statuses = (*keys.statuses, *self._context.refreshed)
        problems = tuple(status.problem for status in statuses if status.problem)
        return KeyRefresh(state, keys.complete and not problems, await checks.settled(), problems)
