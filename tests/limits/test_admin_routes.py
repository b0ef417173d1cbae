"""What an operator sees: who is refused the most, which limits there are, and the fleet."""

import json
import logging
from typing import Any

from sidecar.common.polling import PollStatus
from sidecar.limits.admin_routes import MOST_LIMITED, limit_routes
from sidecar.limits.bucket import Limit
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from sidecar.limits.ports import Store
from sidecar.transport.http1_messages import Request, Response

TENANT = Limit("tenant", "tenant", 10, 1, 5)
BY_TENANT = RouteLimits("r", tenant=(TENANT,), only_tenant=True)


class Away:
    """A fleet's store that can't be used."""

    def __init__(self) -> None:
        self.status = PollStatus("limits_store", "Redis r:1", logging.getLogger("test"))
        self.status.problem = "Redis r:1 does not answer"
        self.members = 3
        self.reachable = False

    async def check(self) -> None:
        raise AssertionError("not in a view")

    async def start(self) -> None: ...

    async def run(self) -> None: ...


def make(refusals: dict[str, int]) -> RateLimiter:
    limiter = RateLimiter(
        LimitsPolicy({}, RouteLimits(), {"tenant": TENANT}, {}), b"k" * 32, max_keys=1000
    )
    for tenant, count in refusals.items():
        for _ in range(TENANT.burst + count):
            limiter.take_tenant(BY_TENANT, tenant, 0)
    return limiter


def view(limiter: RateLimiter, store: Store | None = None) -> dict[str, Any]:
    handler = limit_routes(limiter, store)["GET", "/limits"]
    response = handler(Request("GET", "/limits", "", b""))
    assert isinstance(response, Response)
    shown: dict[str, Any] = json.loads(response.body)
    return shown


def test_the_ten_most_limited_tenants_come_in_order() -> None:
    shown = view(make({f"tenant-{number}": number for number in range(15)}))
    most = shown["most_limited_tenants"]
    assert [each["refused"] for each in most] == list(range(14, 14 - MOST_LIMITED, -1))
    assert most[0] == {
        "tenant": "tenant-14",
        "refused": 14,
        "limit": "tenant: 10 requests per second, burst 5",
    }


def test_nobody_is_shown_who_was_refused_nothing() -> None:
    assert view(make({"a": 0}))["most_limited_tenants"] == []


def test_the_fleet_s_problem_is_shown() -> None:
    assert view(make({}))["store"] is None
    assert view(make({}), Away())["store"] == {
        "reachable": False,
        "sidecars": 3,
        "problem": "Redis r:1 does not answer",
    }
