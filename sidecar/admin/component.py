"""The admin port, with the routes of every component, and the listeners for probes and metrics."""

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version

from sidecar.admin.action_log import ActionLog
from sidecar.admin.metrics_listener import open_metrics
from sidecar.admin.page.collect import PanelCollector
from sidecar.admin.page.events import PageEvents
from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.routes import PageParts, page_routes
from sidecar.admin.page.views import About
from sidecar.admin.routes import METRICS_ROUTE, KeyRefresh, admin_routes, probe_routes
from sidecar.admin.server import AdminServer
from sidecar.admin.sources import sources_panel
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.shared_run import SharedRun
from sidecar.context import AppContext
from sidecar.transport.http1 import HttpServer


class RefreshFault(Fault):
    """Not everything could be read, or is not in force in every process yet."""


async def start(context: AppContext, refresh_keys: Callable[[], Awaitable[KeyRefresh]]) -> None:
    """Start listening on the admin port, and for probes and scrapes where the settings say so."""
    listen = context.config.listen
    actions = ActionLog(wall_seconds)
    context.routes.update(admin_routes(context.health, context.metrics, refresh_keys))
    context.routes.update(page_routes(_page_parts(context, actions)))
    context.actions["refresh"] = partial(_refresh, refresh_keys)
    await _open(
        context,
        AdminServer(
            listen.admin.address, context.routes, on_fault=context.on_fault, actions=actions
        ),
    )
    if listen.probes is not None:
        routes = probe_routes(context.health)
        await _open(
            context,
            HttpServer(listen.probes.address, routes, on_fault=context.on_fault, max_body_bytes=0),
        )
    if listen.metrics is not None:
        scraped = {METRICS_ROUTE: context.routes[METRICS_ROUTE]}
        await open_metrics(context, listen.metrics, scraped)


def _page_parts(context: AppContext, actions: ActionLog) -> PageParts:
    context.panels["sources"] = partial(sources_panel, context.polls)
    context.panels["operators"] = actions.panel
    collector = PanelCollector(context.panels, context.health, wall_seconds, context.on_fault)
    overview = SharedRun(collector.overview)
    about = About(version("septem-sidecar"), socket.gethostname(), context.health.started_at)
    return PageParts(
        collector,
        overview,
        context.actions,
        actions,
        FormTokens(),
        PageEvents(overview, context.stop),
        about,
        wall_seconds,
        context.on_fault,
    )


async def _refresh(refresh_keys: Callable[[], Awaitable[KeyRefresh]], _target: str) -> str:
    """Read every source now; return what came of it. Raises ``RefreshFault``."""
    done = await refresh_keys()
    if done.problems:
        raise RefreshFault("; ".join(done.problems))
    if done.pending:
        raise RefreshFault(f"{', '.join(done.pending)}: what was read is not acknowledged yet")
    if not done.complete:
        raise RefreshFault(f"the keys are {done.state}: the start is not over")
    return f"Every source was read and applies in every process; the keys are {done.state}."


async def _open(context: AppContext, server: HttpServer) -> None:
    await server.start()
    context.stack.push_async_callback(server.close)
