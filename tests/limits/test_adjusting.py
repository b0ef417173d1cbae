"""Between two slices the event loop runs whatever waits: a Check, for example."""

import asyncio

from sidecar.limits.adjusting import adjust_soon
from sidecar.limits.bucket import Limit
from sidecar.limits.buckets import SLICE
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from tests.support.waiting import until

ONE, OTHER = (Limit("tenant", "tenant", 10, 1, burst) for burst in (10, 20))


def policy(limit: Limit) -> LimitsPolicy:
    return LimitsPolicy({}, RouteLimits(), {"tenant": limit}, {})


async def test_what_waits_runs_between_two_slices() -> None:
    limiter = RateLimiter(policy(ONE), b"k" * 32, max_keys=10 * SLICE)
    for number in range(5 * SLICE):
        limiter.lease(f"t{number}", 0, 1)
    limiter.use_policy(policy(OTHER), 0)
    adjust_soon(limiter)
    seen: list[int] = []

    def adjusted() -> int:
        return sum(bucket.limit == OTHER for bucket in limiter.buckets())

    while not seen or seen[-1] < 5 * SLICE:
        seen.append(adjusted())
        await asyncio.sleep(0)
    assert seen == [number * SLICE for number in range(2, 6)]
    await until(lambda: not limiter.adjust(0))
