"""The admin route of keys: every source, the keys that verify, and the listed ones that do not."""

from collections.abc import Callable, Mapping
from typing import Any

from sidecar.keys.refresher import KeyRefresher
from sidecar.transport.http1_messages import Handler, Request, Response


def key_routes(
    refresher: KeyRefresher, clock: Callable[[], float]
) -> Mapping[tuple[str, str], Handler]:
    """Return the route ``GET /keys``."""

    def shown(_request: Request) -> Response:
        return Response.json(200, keys_view(refresher, clock()))

    return {("GET", "/keys"): shown}


def keys_view(refresher: KeyRefresher, now: float) -> dict[str, Any]:
    """Return the state and, by source, its keys as of ``now`` (monotonic seconds)."""
    view = refresher.view
    return {
        "state": view.state,
        "sources": [
            {
                "issuer": polled.source.issuer,
                "source": polled.source.name,
                "state": polled.status.lifecycle.state,
                "age_seconds": round(polled.status.lifecycle.age_seconds(now), 1),
                "problem": polled.status.status.problem,
                "keys": [
                    {"kid": key.kid, "algorithm": key.algorithm.name}
                    for key in view.ring
                    if key.issuer == polled.source.issuer
                ],
                "skipped": [
                    {"key": each.name, "reason": each.reason, "why": each.why}
                    for each in polled.status.skipped.current
                ],
            }
            for polled in refresher.plan.polled
        ],
    }
