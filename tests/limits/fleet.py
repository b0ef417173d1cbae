"""Sidecars of a fleet in one process, with a real Redis between them, and a steady load."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sidecar.config.limits import RedisSettings
from sidecar.limits.bucket import Limit
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from sidecar.limits.redis_store import FleetShares

LIMIT = Limit("tenant", "tenant", 1000, 1, 100)
LOGIN = Limit("login", "login", 5, 60, 5, strict=True)


def policy(*limits: Limit) -> LimitsPolicy:
    by_identity = {each.identity: each for each in (limits or (LIMIT,))}
    return LimitsPolicy({}, RouteLimits(), by_identity, {})


class Sidecar:
    """A limiter and its part in the fleet, driven with real time."""

    def __init__(self, number: int, settings: RedisSettings, *limits: Limit) -> None:
        self.limiter = RateLimiter(policy(*limits), bytes([number]) * 32, shared=True)
        self.changes: list[bool] = []
        self.fleet = FleetShares(
            settings,
            self.limiter,
            member=f"sidecar-{number}",
            now_ns=time.perf_counter_ns,
            on_change=self.changes.append,
        )
        self.asked = self.passed = 0

    def ask(self, tenant: str = "a") -> bool:
        self.asked += 1
        passes = self.limiter.take_tenant(RouteLimits(), tenant, time.perf_counter_ns()) is None
        self.passed += passes
        return passes


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def fleet(settings: RedisSettings, size: int, *limits: Limit) -> AsyncIterator[list[Sidecar]]:
    async with AsyncExitStack() as stack:
        sidecars = [Sidecar(number, settings, *limits) for number in range(size)]
        for each in sidecars:
            await each.fleet.start()
            task = asyncio.create_task(each.fleet.run())
            stack.push_async_callback(_end, task)
        yield sidecars


async def load(sidecars: list[Sidecar], seconds: float, per_second: float = 2000.0) -> float:
    """Ask them in turn at a steady rate; return how many passed in a second."""
    began = time.perf_counter()
    before = sum(each.passed for each in sidecars)
    sent = 0
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * per_second:
            sidecars[sent % len(sidecars)].ask()
            sent += 1
        await asyncio.sleep(0.002)
    return (sum(each.passed for each in sidecars) - before) / (time.perf_counter() - began)
