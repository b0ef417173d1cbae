"""How much may be asked of a CA on behalf of strangers."""

import pytest

from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.on_demand.issuance_limits import (
    MAX_ACCOUNTS,
    IssuanceRateExceeded,
    IssuanceRateLimiter,
    RateLimitedIssuer,
)
from workload.x509.material import Material


class World:
    def __init__(self, *, burst: int = 100, per_domain: int = 2) -> None:
        self.now = 1000.0
        self.rate_limiter = IssuanceRateLimiter(
            orders_per_minute=60,
            burst=burst,
            orders_per_domain=per_domain,
            domain_window_seconds=100,
            clock=lambda: self.now,
        )

    def spend(self, account: str) -> str:
        try:
            self.rate_limiter.spend(account)
        except IssuanceRateExceeded as spent:
            return spent.reason if spent.retry_after_seconds else "at once"
        return "ok"


def test_a_burst_and_then_a_rate() -> None:
    world = World(burst=3)
    assert [world.spend(f"d{n}") for n in range(5)] == ["ok"] * 3 + ["orders_too_fast"] * 2
    world.now += 1.0
    assert [world.spend(f"e{n}") for n in range(2)] == ["ok", "orders_too_fast"]


def test_a_domain_spends_its_own_budget_and_no_others() -> None:
    world = World()
    assert [world.spend("greedy.example") for _ in range(3)] == ["ok", "ok", "domain_budget_spent"]
    assert world.spend("other.example") == "ok"
    world.now += 50.0
    assert [world.spend("greedy.example") for _ in range(2)] == ["ok", "domain_budget_spent"]


def test_what_is_refused_costs_nothing() -> None:
    world = World(burst=4)
    for _ in range(10):
        world.spend("greedy.example")
    assert [world.spend(f"d{n}") for n in range(3)] == ["ok", "ok", "orders_too_fast"]


def test_budgets_that_recovered_are_not_kept() -> None:
    world = World(burst=10_000)
    for number in range(500):
        world.spend(f"d{number}")
    assert len(world.rate_limiter._accounts) == 500
    world.now += 1000.0
    world.spend("d0")
    assert len(world.rate_limiter._accounts) == 1
    assert MAX_ACCOUNTS >= 10_000


class _Issuer:
    name = "public"

    def __init__(self) -> None:
        self.orders: list[Order] = []

    async def issue(self, order: Order) -> Material:
        self.orders.append(order)
        return Material(b"", b"", order.dns_names, "1", 0, 1e10)


async def test_only_what_is_on_an_account_and_no_renewal_is_counted() -> None:
    world, issuer = World(per_domain=1), _Issuer()
    metered = RateLimitedIssuer(issuer, world.rate_limiter)
    assert metered.name == "public"
    order = Order("a.example", ("a.example",), account="a.example")
    material = await metered.issue(order)
    with pytest.raises(IssuanceRateExceeded):
        await metered.issue(order)
    await metered.issue(order._replace(replaces=material))
    for _ in range(3):
        await metered.issue(order._replace(account=""))
    assert len(issuer.orders) == 5


class _Shared(_Issuer):
    """An issuer of a fleet, which has some certificates already."""

    edge_seconds = 0.0

    async def find(self, order: Order) -> Material | None:
        if order.name != "kept.example":
            return None
        return Material(b"", b"", order.dns_names, "kept", 0, 1e10)

    async def advise(self, _: Material) -> RenewalAdvice | None:
        return RenewalAdvice(1.0, 2.0)


async def test_what_the_fleet_has_already_costs_no_budget() -> None:
    world, issuer = World(per_domain=1), _Shared()
    metered = RateLimitedIssuer(issuer, world.rate_limiter)
    for _ in range(5):
        kept = await metered.issue(Order("kept.example", ("kept.example",), account="d"))
        assert kept.serial == "kept"
    assert issuer.orders == []
    await metered.issue(Order("new.example", ("new.example",), account="d"))
    with pytest.raises(IssuanceRateExceeded):
        await metered.issue(Order("newer.example", ("newer.example",), account="d"))


async def test_advice_comes_through() -> None:
    metered = RateLimitedIssuer(_Shared(), World().rate_limiter)
    advice = await metered.advise(Material(b"", b"", (), "1", 0, 1e10))
    assert advice == RenewalAdvice(1.0, 2.0)
    bare = RateLimitedIssuer(_Issuer(), World().rate_limiter)
    assert await bare.advise(Material(b"", b"", (), "1", 0, 1e10)) is None
