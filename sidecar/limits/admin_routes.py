"""The admin route of rate limits: the limits, and who is denied the most."""

from collections.abc import Mapping
from heapq import nlargest
from typing import Any

from sidecar.limits.buckets import Buckets
from sidecar.limits.ports import Store
from sidecar.transport.http1_messages import Handler, Request, Response

MOST_LIMITED = 10


def limit_routes(limiter: Buckets, store: Store | None) -> Mapping[tuple[str, str], Handler]:
    """Return the route ``GET /limits``."""

    def shown(_request: Request) -> Response:
        return Response.json(200, limits_view(limiter, store))

    return {("GET", "/limits"): shown}


def limits_view(limiter: Buckets, store: Store | None) -> dict[str, Any]:
    """Return the ten tenants that were denied the most, every limit, and the fleet."""
    refused = (each for each in limiter.tenants() if each.refused_total)
    most = nlargest(MOST_LIMITED, refused, key=lambda each: each.refused_total)
    return {
        "most_limited_tenants": [
            {
                "tenant": each.value,
                "refused": each.refused_total,
                "limit": str(each.limit),
            }
            for each in most
        ],
        "limits": [str(limit) for limit in limiter.policy.limits.values()],
        "tenants_with_own_limit": len(limiter.policy.tenants),
        "store": None
        if store is None
        else {
            "reachable": store.reachable,
            "sidecars": store.members,
            "problem": store.status.problem,
        },
    }
