"""Joins the reload of the configuration: the admin route, metrics, and the watch on the file."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from sidecar.common.clock import wall_seconds
from sidecar.common.shared_run import SharedRun
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.runtime.reload.metrics import reload_families
from sidecar.runtime.reload.outcome import STATUSES, ReloadOutcome
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

    async def reload_once() -> ReloadOutcome:
        with reloading():
            return await reloader.reload()

    run = SharedRun(reload_once)
    context.metrics.add_source(partial(reload_families, reloader))
    context.routes[ROUTE] = reload_handler(run)
    seconds = context.config.config_watch_seconds
    if seconds is not None:
        context.spawn(watch_file(path, seconds, run))

    async def reload() -> None:
        await run()

    return lambda: context.run_soon(reload())


def reload_handler(run: Callable[[], Awaitable[ReloadOutcome]]) -> Handler:
    """Return the handler of the admin port; it answers when the reload has ended."""

    async def handle(_request: Request) -> Response:
        outcome = await run()
        return Response.json(STATUSES[outcome.result], outcome.document())

    return handle
