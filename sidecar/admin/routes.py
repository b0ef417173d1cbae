"""What the operator may ask: /metrics, /livez, /readyz, and what the operator may have done."""

from collections.abc import Awaitable, Callable, Mapping

from sidecar.admin.http import Handler, Request, Response
from sidecar.health import Health
from sidecar.metrics import CONTENT_TYPE, Metrics


def admin_routes(
    health: Health, metrics: Metrics, refresh_keys: Callable[[], Awaitable[str]]
) -> Mapping[tuple[str, str], Handler]:
    """Build the table of routes; ``refresh_keys`` asks every source now and returns the state."""

    def livez(_request: Request) -> Response:
        return Response(200, b"alive\n")

    def readyz(_request: Request) -> Response:
        status = 200 if health.ready else 503
        document = {"ready": health.ready, **health.facts, "problems": health.problems}
        return Response.json(status, document)

    async def show_metrics(_request: Request) -> Response:
        return Response(200, await metrics.render_fresh(), CONTENT_TYPE)

    async def refresh(_request: Request) -> Response:
        return Response.json(200, {"keys": await refresh_keys()})

    return {
        ("GET", "/livez"): livez,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): show_metrics,
        ("POST", "/keys/refresh"): refresh,
    }
