"""A fleet of sidecars and a real Redis: one limit, whoever asks, whatever becomes of the server."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.config.limits import RedisSettings
from sidecar.limits.bucket import Limit
from sidecar.limits.redis_client import make_client
from tests.limits.fleet import LIMIT, fleet, load
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def settings_of(server: RedisServer, **others: object) -> RedisSettings:
    return RedisSettings(address=server.address, **others)  # type: ignore[arg-type]


@pytest.mark.quiet
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


@pytest.mark.quiet
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_while_redis_is_away_each_spends_its_last_share_and_it_comes_back_by_itself(
    server: RedisServer, how: signal.Signals
) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.4), 4) as sidecars:
        await load(sidecars, 0.7)
        server.signal(how)
        rates = [await load(sidecars, 1.2)]
        assert [each.changes for each in sidecars] == [[False]] * 4
        assert all("spends" not in each.fleet.status.problem for each in sidecars)
        assert all(server.address in each.fleet.status.problem for each in sidecars)
        rates.append(await load(sidecars, 1.0))
        if how is signal.SIGKILL:
            server.kill()
            server.start()
        else:
            server.signal(signal.SIGCONT)
        rates.append(await load(sidecars, 1.5))
        await until(lambda: all(each.changes == [False, True] for each in sidecars))
        rates.append(await load(sidecars, 1.5))
    away, still_away, returning, back = rates
    assert [away, still_away, back] == [pytest.approx(LIMIT.requests, rel=0.1)] * 3
    assert returning == pytest.approx(LIMIT.requests, rel=0.2)


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


async def test_a_server_that_forgot_everything_gives_no_second_burst(
    server: RedisServer,
) -> None:
    limit = Limit("tenant", "tenant", 10, 1, 500)
    async with fleet(settings_of(server, timeout_seconds=0.2), 2, limit) as sidecars:
        while sum(each.ask() for each in sidecars):
            await asyncio.sleep(0.001)
        server.signal(signal.SIGKILL)
        await until(lambda: [each.changes for each in sidecars] == [[False]] * 2)
        server.kill()
        for each in sidecars:
            each.passed = 0
            each.ask()
        began = time.perf_counter()
        server.start()
        while not all(each.changes == [False, True] for each in sidecars):
            for each in sidecars:
                each.ask()
            await asyncio.sleep(0.01)
        for _ in range(50):
            for each in sidecars:
                each.ask()
            await asyncio.sleep(0.01)
        passed = sum(each.passed for each in sidecars)
        assert passed <= 10 * (time.perf_counter() - began) + 20


async def test_a_script_that_the_server_forgot_is_loaded_again(server: RedisServer) -> None:
    async with fleet(settings_of(server), 1) as sidecars:
        sidecars[0].ask()
        await until(lambda: sidecars[0].fleet.synced == 1)
        client = make_client(settings_of(server))
        await client.script_flush()
        await client.aclose()
        sidecars[0].ask()
        await until(lambda: sidecars[0].fleet.synced == 2)
        assert sidecars[0].changes == []


async def test_thousands_of_busy_keys_are_shared_and_no_check_waits_long(
    server: RedisServer,
) -> None:
    async with fleet(settings_of(server), 2) as sidecars:
        longest, before = 0.0, time.perf_counter()
        for number in range(30):
            for tenant in range(100):
                sidecars[0].ask(f"{number}-{tenant}")
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        await until(lambda: sidecars[0].fleet.synced >= 3000)
        assert sidecars[0].changes == []
        assert longest < 1.0


async def test_many_keys_do_not_keep_a_sidecar_from_coming_back(server: RedisServer) -> None:
    async with fleet(settings_of(server, timeout_seconds=0.2), 1) as sidecars:
        server.signal(signal.SIGSTOP)
        await until(lambda: sidecars[0].changes == [False])
        for tenant in range(5000):
            sidecars[0].ask(f"{tenant}")
        server.signal(signal.SIGCONT)
        await until(lambda: sidecars[0].changes == [False, True])


async def test_a_server_that_lost_its_keys_while_it_runs_gives_no_second_burst(
    server: RedisServer,
) -> None:
    limit = Limit("tenant", "tenant", 10, 1, 500)
    async with fleet(settings_of(server), 2, limit) as sidecars:
        began = time.perf_counter()
        for _ in range(30):
            for each in sidecars:
                for _ in range(30):
                    each.ask()
            await asyncio.sleep(0.01)
        client = make_client(settings_of(server))
        await until(lambda: all(each.fleet.synced > 1 for each in sidecars))
        for _ in range(3):
            for key in await client.keys("septem:limits:*"):
                if await client.type(key) == b"hash":
                    await client.delete(key)
            for _ in range(20):
                for each in sidecars:
                    each.ask()
                await asyncio.sleep(0.01)
        await client.aclose()
        passed = sum(each.passed for each in sidecars)
        # Both may spend the burst once, before either hears of the other.
        assert passed <= 2 * 500 + 10 * (time.perf_counter() - began) + 20


async def test_a_clock_of_the_server_that_was_ahead_locks_nobody_out(server: RedisServer) -> None:
    limit = Limit("tenant", "tenant", 10, 1, 5)
    async with fleet(settings_of(server), 1, limit) as (sidecar,):
        sidecar.ask()
        await until(lambda: sidecar.fleet.synced == 1)
        client = make_client(settings_of(server))
        (key,) = [each for each in await client.keys("*") if await client.type(each) == b"hash"]
        later = (int(time.time()) + 3600) * 1_000_000
        # As it looks once the server's clock went back by an hour, or its replica took over.
        await client.hset(key, mapping={"at": str(later), "gone": f"50.000000 {later}"})
        await client.zadd("septem:limits:members", {"gone": later / 1000})
        sidecar.ask()
        await until(lambda: sidecar.fleet.synced == 2)
        assert await client.hget(key, "gone") is None
        await client.aclose()
        await until(sidecar.ask)
        await until(lambda: sidecar.fleet.members == 1)
