"""The admin port, with the routes that every component has added."""

from collections.abc import Awaitable, Callable

from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.admin.server import AdminServer
from sidecar.context import AppContext


async def start(context: AppContext, refresh_keys: Callable[[], Awaitable[KeyRefresh]]) -> None:
    """Start listening on the admin port."""
    context.routes.update(admin_routes(context.health, context.metrics, refresh_keys))
    admin = AdminServer(
        context.config.listen.admin.address,
        context.routes,
        on_fault=context.on_fault,
    )
    await admin.start()
    context.stack.push_async_callback(admin.close)
