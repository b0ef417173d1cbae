"""What the operator may ask: /metrics, /livez, /readyz."""

from collections.abc import Mapping

from sidecar.admin.http import Handler, Request, Response
from sidecar.health import Health
from sidecar.metrics import CONTENT_TYPE, Metrics


def admin_routes(health: Health, metrics: Metrics) -> Mapping[tuple[str, str], Handler]:
    """Build the table of routes."""

    def livez(_request: Request) -> Response:
        return Response(200, b"alive\n")

    def readyz(_request: Request) -> Response:
        status = 200 if health.ready else 503
        return Response.json(status, {"ready": health.ready, "problems": health.problems})

    def show_metrics(_request: Request) -> Response:
        return Response(200, metrics.render(), CONTENT_TYPE)

    return {("GET", "/livez"): livez, ("GET", "/readyz"): readyz, ("GET", "/metrics"): show_metrics}
