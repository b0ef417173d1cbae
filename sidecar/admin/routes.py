"""The routes of the admin port: /metrics, /livez, /readyz, and the refresh of keys.

And those of the listener for probes, which has two of them, without detail.
"""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from sidecar.common.shared_run import SharedRun
from sidecar.observability.health import Health
from sidecar.observability.metrics import (
    CONTENT_TYPE,
    OPENMETRICS_TYPE,
    OPENMETRICS_VERSION,
    Metrics,
)
from sidecar.transport.http1_messages import Handler, Request, Response
from sidecar.transport.negotiation import read_wishes, weight_of

METRICS_ROUTE = ("GET", "/metrics")
_GZIP_LEVEL = 6
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


def livez(_request: Request) -> Response:
    """Answer that the event loop runs."""
    return Response(200, b"alive\n")


def probe_routes(health: Health) -> Mapping[tuple[str, str], Handler]:
    """Return the routes for an orchestrator: whether, and never why.

    Anybody on the network may ask, so that an answer tells nothing of what is behind it.
    """

    def readyz(_request: Request) -> Response:
        return Response(200, b"ready\n") if health.ready else Response(503, b"not ready\n")

    return {("GET", "/livez"): livez, ("GET", "/readyz"): readyz}


def admin_routes(
    health: Health, metrics: Metrics, refresh_keys: Callable[[], Awaitable[KeyRefresh]]
) -> Mapping[tuple[str, str], Handler]:
    """Return the routes by method and path; ``refresh_keys`` reads every source now."""

    def readyz(_request: Request) -> Response:
        status = 200 if health.ready else 503
        document = {"ready": health.ready, **health.facts, "problems": health.problems}
        return Response.json(status, document)

    # Many who ask at once are shown one text: each costs Checks of this process their time.
    plain = SharedRun(metrics.render_fresh)
    openmetrics = SharedRun(partial(metrics.render_fresh, openmetrics=True))

    async def show_metrics(request: Request) -> Response:
        if _wants_openmetrics(request):
            return await _packed(request, await openmetrics(), OPENMETRICS_TYPE)
        return await _packed(request, await plain(), CONTENT_TYPE)

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
        METRICS_ROUTE: show_metrics,
        ("POST", "/keys/refresh"): refresh,
    }


def _wants_openmetrics(request: Request) -> bool:
    """Tell whether OpenMetrics is asked for, and nothing else that we have is wanted more."""
    wishes = read_wishes(request.header(b"accept"))
    weight = weight_of(wishes, "application/openmetrics-text", f"version={OPENMETRICS_VERSION}")
    return weight > 0 and weight >= weight_of(wishes, "text/plain")


async def _packed(request: Request, text: bytes, content_type: str) -> Response:
    """Return the answer, compressed where the client takes that, in a thread beside Checks."""
    vary = ("vary", "accept, accept-encoding")
    if weight_of(read_wishes(request.header(b"accept-encoding")), "gzip") > 0:
        body = await asyncio.to_thread(gzip.compress, text, _GZIP_LEVEL, mtime=0)
        return Response(200, body, content_type, (vary, ("content-encoding", "gzip")))
    return Response(200, text, content_type, (vary,))
