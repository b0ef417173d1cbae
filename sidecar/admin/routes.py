"""The routes of the admin port: /metrics, /livez, /readyz, and the refresh of keys."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from sidecar.common.shared_run import SharedRun
from sidecar.observability.health import Health
from sidecar.observability.metrics import CONTENT_TYPE, Metrics
from sidecar.transport.http1_messages import Handler, Request, Response

_OK, _BAD_GATEWAY, _GATEWAY_TIMEOUT = 200, 502, 504


class KeyRefresh(NamedTuple):
    """The result of a refresh: the key state, and the workers that do not use it yet."""

    state: str
    complete: bool
    """Whether every source could be read."""
    pending: tuple[str, ...] = ()
    """The workers that have not acknowledged the result."""
    problems: tuple[str, ...] = ()
    """Why sources could not be read."""


def admin_routes(
    health: Health, metrics: Metrics, refresh_keys: Callable[[], Awaitable[KeyRefresh]]
) -> Mapping[tuple[str, str], Handler]:
    """Return the routes by method and path; ``refresh_keys`` reads every source now."""

    def livez(_request: Request) -> Response:
        return Response(200, b"alive\n")

    def readyz(_request: Request) -> Response:
        status = 200 if health.ready else 503
        document = {"ready": health.ready, **health.facts, "problems": health.problems}
        return Response.json(status, document)

    # Many who ask at once are shown one text: each costs Checks of this process their time.
    render = SharedRun(metrics.render_fresh)

    async def show_metrics(_request: Request) -> Response:
        return Response(200, await render(), CONTENT_TYPE)

    async def refresh(_request: Request) -> Response:
        done = await refresh_keys()
        document: dict[str, object] = {"keys": done.state}
        if done.problems:
            document["error"] = "; ".join(done.problems)
            document["problems"] = list(done.problems)
        if done.pending:
            names = ", ".join(done.pending)
            document.setdefault("error", f"{names}: what was read is not acknowledged yet")
            return Response.json(_GATEWAY_TIMEOUT, {**document, "pending": list(done.pending)})
        return Response.json(_OK if done.complete else _BAD_GATEWAY, document)

    return {
        ("GET", "/livez"): livez,
        ("GET", "/readyz"): readyz,
        ("GET", "/metrics"): show_metrics,
        ("POST", "/keys/refresh"): refresh,
    }
