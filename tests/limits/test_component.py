"""The limits of a running sidecar: alerts, readiness, Vault's entry, and the admin port."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from redis import Redis

from sidecar.common.clock import elapsed_ns
from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.limits import component
from sidecar.limits.limiter import RateLimiter
from sidecar.observability.alerts import Alert, Alerts
from sidecar.observability.counters import Counters
from sidecar.runtime.check import make_limiter
from sidecar.transport.http1_messages import Request
from sidecar.vault.client import VaultClient
from tests.authz.conftest import CONFIG
from tests.support.minting import TENANT
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import until


class Said:
    """Takes alerts."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def say(self, alert: Alert) -> None:
        self.alerts.append(alert)


class Secret(NamedTuple):
    data: Mapping[str, Any]
    version: int = 1
    written_at: float = 1.0


class Vault:
    """The entry of the tenants' limits."""

    def __init__(self) -> None:
        self.data: Mapping[str, Any] = {TENANT: "7"}
        self.version = 1
        self.fault: Fault | None = None

    async def read_kv(self, _mount: str, _path: str) -> Secret:
        if self.fault is not None:
            raise self.fault
        return Secret(self.data, self.version, float(self.version))


class Running(NamedTuple):
    context: AppContext
    limiter: RateLimiter
    said: Said
    vault: Vault
    published: list[int]

    def stored(self, server: RedisServer) -> bool:
        """Whether the server has a bucket."""
        with closing(Redis.from_url(f"redis://{server.address}")) as client:
            keys = client.keys("*")
        return any(len(key) > 40 for key in keys)


@asynccontextmanager
async def running(limits: str) -> AsyncIterator[Running]:
    config = parse_config(f"limits: {limits}\n" + CONFIG, "test")
    context = AppContext(config)
    limiter = make_limiter(config, Counters(), shared=config.limits is not None)
    assert limiter is not None
    said, vault, published = Said(), Vault(), list[int]()
    async with context.stack:
        await component.start(
            context,
            cast("VaultClient", vault),
            cast("Alerts", said),
            limiter,
            lambda: published.append(1),
        )
        yield Running(context, limiter, said, vault, published)
    assert not context.failed


async def test_a_tenant_s_limit_in_vault_holds_and_changes_when_the_operator_refreshes() -> None:
    async with running("{tenants_from: {}}") as sidecar:
        assert sidecar.limiter.policy.tenants[TENANT].requests == 7
        sidecar.vault.data, sidecar.vault.version = {TENANT: "9/60s"}, 2
        for refresh in sidecar.context.refreshers:
            await refresh()
        assert sidecar.limiter.policy.tenants[TENANT].requests == 9
        assert len(sidecar.published) == 2
        assert sidecar.context.health.facts["tenant_limits"] == "ok"
        assert ("GET", "/limits") in sidecar.context.routes


async def test_without_redis_and_vault_nothing_is_started() -> None:
    async with running("{}") as sidecar:
        assert sidecar.context.polls == []
        assert sidecar.published == []


async def test_a_reload_has_other_limits_and_keeps_those_of_vault() -> None:
    async with running("{tenants_from: {}}") as sidecar:
        other = parse_config(
            "limits: {tenant: {requests: 5}, token: {requests: 3}, tenants_from: {}}\n"
            "keys: {poll_seconds: 3}\n"
            + CONFIG.replace("domain: shop", "limit: {requests: 2}, domain: shop"),
            "test",
        )
        (prepare,) = sidecar.context.reload_parts
        part = await prepare(other)
        assert sidecar.limiter.policy.limits["tenant"].requests == 1000
        part.adopt()
        policy = sidecar.limiter.policy
        assert (policy.limits["tenant"].requests, policy.limits["token"].requests) == (5, 3)
        assert policy.tenants[TENANT].requests == 7, "Vault has one for this tenant"
        assert len(sidecar.published) == 2
        sidecar.vault.data, sidecar.vault.version = {}, 2
        for refresh in sidecar.context.refreshers:
            await refresh()
        assert sidecar.limiter.policy.tenants[TENANT].requests == 2


def other(limits: str) -> model.Config:
    return parse_config(f"limits: {limits}\n" + CONFIG, "test")


async def test_a_reload_reads_another_entry_first_and_forgets_it_when_it_is_none() -> None:
    async with running("{tenants_from: {}}") as sidecar:
        (prepare,) = sidecar.context.reload_parts
        sidecar.vault.data, sidecar.vault.version = {TENANT: "11"}, 5
        part = await prepare(other("{tenants_from: {path: other}}"))
        assert sidecar.limiter.policy.tenants[TENANT].requests == 7
        part.adopt()
        assert sidecar.limiter.policy.tenants[TENANT].requests == 11
        assert len(sidecar.context.polls) == 1
        (await prepare(other("{}"))).adopt()
        assert TENANT not in sidecar.limiter.policy.tenants
        assert (sidecar.context.polls, sidecar.context.refreshed) == ([], [])
        assert "tenant_limits" not in sidecar.context.health.facts


async def test_an_entry_or_a_store_that_can_not_be_had_refuses_the_file() -> None:
    async with running("{}") as sidecar:
        (prepare,) = sidecar.context.reload_parts
        with pytest.raises(Fault, match=r"Redis 127\.0\.0\.1:1"):
            await prepare(other("{redis: {address: '127.0.0.1:1'}}"))
        sidecar.vault.fault = Fault("Vault is away")
        with pytest.raises(Fault, match="Vault is away"):
            await prepare(other("{tenants_from: {}}"))
        assert sidecar.context.polls == []
        assert sidecar.limiter.policy.limits["tenant"].requests == 1000


@pytest.mark.real
async def test_a_reload_joins_a_fleet_and_leaves_it(tmp_path: Path) -> None:
    """What was spent stays spent, and a bucket that was divided has all of its rate again."""
    with redis_server(tmp_path) as server:
        async with running("{tenant: {requests: 1, per_seconds: 60, burst: 9}}") as sidecar:
            (prepare,) = sidecar.context.reload_parts
            limiter, routes = sidecar.limiter, sidecar.context.routes
            take = partial(limiter.lease, TENANT)
            before = take(elapsed_ns(), 2)
            tenant = "tenant: {requests: 1, per_seconds: 60, burst: 9}"
            settings = f"{{{tenant}, redis: {{address: '{server.address}', sync_seconds: 0.02}}}}"
            (await prepare(other(settings))).adopt()
            facts = sidecar.context.health.facts
            await until(lambda: facts.get("limits_store") == "ok")
            for _ in range(2):
                assert take(elapsed_ns(), 1) == 1
            await until(lambda: sidecar.stored(server))
            shown: Any = routes["GET", "/limits"](Request("GET", "/limits", "", b""))
            assert json.loads(shown.body)["store"]["reachable"] is True
            (await prepare(other(f"{{{tenant}}}"))).adopt()
            await until(lambda: "limits_store" not in facts)
            (bucket,) = limiter.buckets()
            assert (bucket.share, bucket.fair_share) == (1.0, 1.0)
            assert bucket.remaining(elapsed_ns()) == 9 - before - 2


@pytest.mark.real
async def test_redis_away_is_one_alert_and_one_line_of_readyz_and_the_sidecar_stays_ready(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as server:
        settings = f"{{redis: {{address: '{server.address}', timeout_seconds: 0.2}}}}"
        async with running(settings) as sidecar:
            facts = sidecar.context.health.facts
            assert facts["limits_store"] == "ok"
            unhealthy = sidecar.context.health.ready
            server.kill()
            await until(lambda: sidecar.said.alerts)
            assert facts["limits_store"].startswith(f"outage: Redis {server.address}")
            assert sidecar.context.health.ready is unhealthy
            await asyncio.sleep(0)
            assert [each.state for each in sidecar.said.alerts] == ["outage"]
            server.start()
            await until(lambda: facts["limits_store"] == "ok")
            assert [each.state for each in sidecar.said.alerts] == ["outage", "ok"]


@pytest.mark.real
async def test_a_sidecar_starts_without_redis_and_joins_when_it_comes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with running(f"{{redis: {{address: '{server.address}'}}}}") as sidecar:
        assert sidecar.context.health.facts["limits_store"].startswith("outage")
        server.start()
        try:
            await until(lambda: sidecar.context.health.facts["limits_store"] == "ok")
        finally:
            server.kill()
