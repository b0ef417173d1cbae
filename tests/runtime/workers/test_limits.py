"""One limit is one limit, whatever the number of workers: real processes, real time."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from bench.clients import GrpcClient
from sidecar.config import parse_config
from sidecar.decision_cache.tenant_credits import TenantCredits
from sidecar.limits.buckets import SpendReport
from sidecar.observability.counters import Counters
from sidecar.runtime.check import make_limiter
from sidecar.runtime.workers.limit_frames import LimitsUsed
from sidecar.runtime.workers.limits import LimitShares
from tests.authz.checks import Answer, check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.runtime.workers.pooled import WORKERS, Pool, good
from tests.support.minting import TENANT, Issuer
from tests.support.waiting import until

OTHER = "0f0f0f0f-0000-4000-8000-000000000000"
LOGIN = (
    "  - {name: login, path: /login, auth: none, methods: [POST], "
    "limits: {login: {account_form: email}}}\n"
)
LIMITS = "limits: {tenant: {requests: 200, burst: 20}}\n"


class LimitedPool(Pool):
    """A pool whose workers share limits, and a channel to each that stays open."""

    def __init__(self) -> None:
        config = parse_config(
            LIMITS + CONFIG.replace("headers:\n", LOGIN + "headers:\n", 1), "test"
        )
        super().__init__(config=config)
        self.limiter = make_limiter(config, Counters(), shared=False)
        assert self.limiter is not None
        self.pool.broadcast.limits = LimitShares(self.limiter, WORKERS)
        self.pool.broadcast.publish_limits()

    async def load(self, tokens: list[bytes], per_second: float, seconds: float) -> list[float]:
        """Send to the workers in turn, at a steady rate; return how many passed in a second."""
        raws = [
            check_request(headers={"authorization": f"Bearer {each.decode()}"}) for each in tokens
        ]
        shares = await asyncio.gather(
            *(
                asyncio.to_thread(_load, address, raws, per_second / WORKERS, seconds)
                for address in self.addresses
            )
        )
        return [sum(rates) for rates in zip(*shares, strict=True)]

    async def login(self, number: int, email: str) -> Answer:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        raw = check_request("POST", "/login", headers=headers, body=f"email={email}".encode())
        return read_answer(await self.call(number, raw))


@pytest.fixture
async def limited(issuer: Issuer) -> AsyncIterator[LimitedPool]:
    running = LimitedPool()
    running.publish(issuer.ring)
    await running.pool.start()
    yield running
    await running.pool.stop()
    assert running.faults == []


@pytest.mark.quiet
async def test_two_tenants_at_twice_their_rates_each_get_theirs(
    limited: LimitedPool, issuer: Issuer
) -> None:
    tokens = [good(issuer), good(issuer, tenantId=OTHER)]
    await limited.load(tokens, 800, 0.7)
    assert await limited.load(tokens, 800, 3.0) == [pytest.approx(200, rel=0.02)] * 2
    await limited.pool.refresh_stats()
    stats = [slot.stats().counters for slot in limited.pool.slots]
    for counters in stats:
        allowed = counters.checks["allow", "token_verified", "api"]
        refused = counters.limited["refused", "tenant", "api"]
        assert counters.checks["deny", "rate_limited", "api"] == refused
        assert allowed / sum(each.checks["allow", "token_verified", "api"] for each in stats) > 0.3
    limiter = limited.limiter
    assert limiter is not None
    await until(lambda: sum(each.refused_total for each in limiter.tenants()) > 1000)


async def test_an_account_s_attempts_are_counted_wherever_they_arrive(
    limited: LimitedPool,
) -> None:
    limiter = limited.limiter
    assert limiter is not None
    statuses = []
    for number in range(7):
        statuses.append((await limited.login(number % WORKERS, "a%40example.com")).status)
        at_least = min(5, number + 1)
        await until(lambda n=at_least: _spent(limited) >= n)  # type: ignore[misc]
        await asyncio.sleep(0)
    assert statuses == [200] * 5 + [429] * 2
    assert (await limited.login(0, "b%40example.com")).status == 200


async def test_a_tenant_s_new_limit_reaches_all_and_a_worker_that_comes_later(
    limited: LimitedPool, issuer: Issuer
) -> None:
    limiter = limited.limiter
    assert limiter is not None
    own = msgspec.structs.replace(limiter.policy.limits["tenant"], requests=1, burst=1)
    limiter.use_policy(limiter.policy.with_tenants({TENANT: own}), 0)
    limited.pool.broadcast.publish_limits()
    limited.pool.broadcast.publish_limits()
    token = good(issuer)
    for number in range(WORKERS):
        raws = [limited.ask(number, token) for _ in range(3)]
        answers = [await each for each in raws]
        assert answers[-1].status == 429
        assert answers[-1].response_headers["ratelimit-policy"] == '"tenant";q=1;w=1'


def _load(address: str, raws: list[bytes], per_second: float, seconds: float) -> list[float]:
    """Send each message in turn over one connection; return how many of each passed a second."""
    client = GrpcClient(int(address.rpartition(":")[2]))
    passed = [0] * len(raws)
    sent = 0
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * per_second:
            which = sent % len(raws)
            passed[which] += b"rate_limited" not in client.answer(raws[which])[1]
            sent += 1
        time.sleep(0.001)
    client.close()
    return [each / elapsed for each in passed]


def _spent(pool: LimitedPool) -> int:
    """Return how many attempts the main process knows of."""
    assert pool.limiter is not None
    logins = [each for each in pool.limiter.buckets() if each.limit.kind == "login"]
    return max((each.asked - 1 - each.refused for each in logins), default=0)


async def test_a_tenant_gets_a_credit_slot_once_it_is_counted() -> None:
    limiter = make_limiter(parse_config(LIMITS + CONFIG, "test"), Counters(), shared=False)
    assert limiter is not None
    slots = TenantCredits(lambda: 0)
    given: list[str] = []
    slots.on_slot = lambda tenant, _slot: given.append(tenant)
    main = LimitShares(limiter, 2, slots)
    reports = [
        SpendReport("tenant|a", 2, 0), SpendReport("tenant|a", 2, 0), SpendReport("tenant|", 1, 0),
        SpendReport("route/x|b", 1, 0), SpendReport("tenant|b", 1, 2), SpendReport("c", 1, 0),
    ]  # fmt: skip
    main.reply(0, LimitsUsed(0, tuple(reports)))
    assert given == ["a"], "what is no count of a tenant's requests has none"
