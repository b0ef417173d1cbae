"""The admin port, with the routes of every component, and the listeners for probes and metrics."""

from collections.abc import Awaitable, Callable

from sidecar.admin.metrics_listener import open_metrics
from sidecar.admin.routes import METRICS_ROUTE, KeyRefresh, admin_routes, probe_routes
from sidecar.admin.server import AdminServer
from sidecar.context import AppContext
from sidecar.transport.http1 import HttpServer


async def start(context: AppContext, refresh_keys: Callable[[], Awaitable[KeyRefresh]]) -> None:
    """Start listening on the admin port, and for probes and scrapes where the settings say so."""
    listen = context.config.listen
    context.routes.update(admin_routes(context.health, context.metrics, refresh_keys))
    await _open(
        context, AdminServer(listen.admin.address, context.routes, on_fault=context.on_fault)
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


async def _open(context: AppContext, server: HttpServer) -> None:
    await server.start()
    context.stack.push_async_callback(server.close)
