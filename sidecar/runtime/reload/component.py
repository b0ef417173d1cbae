"""Joins the reload of the configuration: the admin route, metrics, and the watch on the file."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import msgspec

from sidecar.common.clock import wall_seconds
from sidecar.common.current_task import CurrentTask, Run
from sidecar.common.errors import Fault
from sidecar.common.shared_run import SharedRun
from sidecar.config import model
from sidecar.context import AppContext, PreparedPart
from sidecar.observability.alerts import Alerts
from sidecar.runtime.reload.metrics import reload_families
from sidecar.runtime.reload.outcome import STATUSES, ReloadOutcome
from sidecar.runtime.reload.panel import reload_panel
from sidecar.runtime.reload.reloader import PolicyProcesses, Reloader
from sidecar.runtime.reload.watch import watch_file
from sidecar.transport.http1_messages import Handler, Request, Response

ROUTE = ("POST", "/config/reload")


def start(
    context: AppContext,
    path: Path,
    checks: PolicyProcesses,
    alerts: Alerts,
    reloading: Callable[[], AbstractContextManager[None]],
) -> Callable[[], None]:
    """Offer reloads from now on; return the function that begins one (SIGHUP).

    Each runs in the context of ``reloading``.
    """
    reloader = Reloader(context, path, checks, alerts, wall_seconds)

    async def reload_once(*, allow_restart: bool) -> ReloadOutcome:
        with reloading():
            return await reloader.reload(allow_restart=allow_restart)

    context.run_soon(reloader.look_for_warnings())
    runs = {each: SharedRun(partial(reload_once, allow_restart=each)) for each in (False, True)}
    context.metrics.add_source(partial(reload_families, reloader))
    context.routes[ROUTE] = reload_handler(lambda allow_restart: runs[allow_restart]())

    context.panels["config"] = partial(reload_panel, reloader, str(path))
    for name, allow_restart in (("reload", False), ("restart", True)):
        context.actions[name] = partial(_reload_by_hand, runs[allow_restart])

    async def changed() -> None:
        await runs[context.config.config_watch_allow_restart]()

    watch = ConfigWatch(path, changed, context.config.config_watch_seconds)
    context.spawn(watch.run())
    context.reload_parts.append(watch.prepare)

    async def reload() -> None:
        await runs[False]()

    return lambda: context.run_soon(reload())


async def _reload_by_hand(run: Callable[[], Awaitable[ReloadOutcome]], _target: str) -> str:
    """Reload for an operator; return how it ended. Raises ``ReloadFault`` where it was refused."""
    outcome = await run()
    if outcome.refused:
        raise ReloadFault(outcome.message)
    return outcome.message


class ReloadFault(Fault):
    """A reload was refused."""


class ReloadRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a request, which may be empty."""

    allow_restart: bool = False


class ConfigWatch:
    """The watch on the file, which a reload may begin, end, or give another interval."""

    def __init__(
        self, path: Path, changed: Callable[[], Awaitable[object]], seconds: float | None
    ) -> None:
        self._path = path
        self._changed = changed
        self._seconds = seconds
        self._task = CurrentTask(self._watch(seconds))

    async def run(self) -> None:
        """Watch until cancelled, while that is set."""
        await self._task.run()

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Take over another interval, for a reload."""
        return PreparedPart(partial(self._adopt, config.config_watch_seconds))

    def _adopt(self, seconds: float | None) -> None:
        if seconds != self._seconds:
            self._seconds = seconds
            self._task.replace(self._watch(seconds))

    def _watch(self, seconds: float | None) -> Run | None:
        return None if seconds is None else partial(watch_file, self._path, seconds, self._changed)


def reload_handler(run: Callable[[bool], Awaitable[ReloadOutcome]]) -> Handler:
    """Return the handler of the admin port; it answers when the reload has ended.

    ``run`` is called with whether a restart is allowed.
    """

    async def handle(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(request.body or b"{}", type=ReloadRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            error = 'the body must be empty, or JSON: {"allow_restart": true} or false'
            return Response.json(400, {"error": error})
        outcome = await run(asked.allow_restart)
        return Response.json(STATUSES[outcome.result], outcome.document())

    return handle
