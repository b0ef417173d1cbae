"""A fleet of sidecars and a real Redis: one limit, whoever asks, whatever becomes of the server."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.config.limits import RedisSettings
from sidecar.limits.bucket import Limit
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from sidecar.limits.redis_store import FleetShares, make_client
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import until

pytestmark = pytest.mark.real
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def settings_of(server: RedisServer, **others: object) -> RedisSettings:
    return RedisSettings(address=server.address, **others)  # type: ignore[arg-type]


async def test_four_sidecars_let_one_limit_pass_and_none_of_them_starves(
    server: RedisServer,
) -> None:
    async with fleet(settings_of(server), 4) as sidecars:
        await load(sidecars, 0.7)  # the burst is spent, and everybody's demand is known
        for each in sidecars:
            each.passed = 0
        rate = await load(sidecars, 3.0)
    assert rate == pytest.approx(LIMIT.requests, rel=0.05)
    shares = [each.passed / sum(other.passed for other in sidecars) for each in sidecars]
    assert min(shares) > 0.15, shares


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_while_redis_is_away_each_spends_its_last_share_and_it_comes_back_by_itself(
    server: RedisServer, how: signal.Signals
) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.2), 4) as sidecars:
        await load(sidecars, 1.0)
        server.signal(how)
        rates = [await load(sidecars, 1.5)]
        assert [each.changes for each in sidecars] == [[False]] * 4
        assert all("spends" not in each.fleet.status.problem for each in sidecars)
        assert all(server.address in each.fleet.status.problem for each in sidecars)
        rates.append(await load(sidecars, 1.5))
        if how is signal.SIGKILL:
            server.kill()
            server.start()
        else:
            server.signal(signal.SIGCONT)
        rates.append(await load(sidecars, 2.0))
        await until(lambda: all(each.changes == [False, True] for each in sidecars))
        rates.append(await load(sidecars, 2.0))
    assert rates == [pytest.approx(LIMIT.requests, rel=0.1)] * 4


async def test_a_check_never_waits_for_a_frozen_redis(server: RedisServer) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.2), 1) as sidecars:
        server.signal(signal.SIGSTOP)
        began = time.perf_counter()
        for _ in range(2000):
            sidecars[0].ask()
        assert time.perf_counter() - began < 1.0
        await until(lambda: sidecars[0].changes == [False])


async def test_the_fleet_agrees_on_one_secret_and_keeps_no_name_in_the_server(
    server: RedisServer,
) -> None:
    tenant = "6b1f2c1e-0000-4000-8000-00000000abcd"
    async with fleet(settings_of(server), 3) as sidecars:
        assert len({each.limiter.secret for each in sidecars}) == 1
        sidecars[0].ask(tenant)
        await until(lambda: sidecars[0].fleet.synced > 0)
        assert sidecars[2].fleet.members == 3
        client = make_client(settings_of(server))
        keys = await client.keys("*")
        await client.aclose()
    assert len(keys) == 3  # the members, the secret, one bucket
    assert all(tenant.encode() not in key for key in keys)
