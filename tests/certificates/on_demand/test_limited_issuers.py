"""An issuer's limits outlive a reload: what was ordered stays counted, at the new numbers."""

import pytest

from sidecar.certificates.issuers.base import Issuers, Order
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.certificates.on_demand.limited_issuers import LimitedIssuers
from sidecar.config import model
from sidecar.config import on_demand as settings_of
from tests.support.managed_world import World


def numbers(burst: int, per_domain: int = 50) -> model.OnDemandSettings:
    return model.OnDemandSettings(
        registry=settings_of.FileRegistry(path="-"), issuer="internal",
        orders_per_minute=0.001, orders_burst=burst, orders_per_domain=per_domain,
    )  # fmt: skip


async def order(issuers: Issuers, name: str) -> None:
    await issuers["internal"].issue(Order(name, (name,), account=name))


async def test_a_reload_gives_no_second_burst() -> None:
    limited, issuers = LimitedIssuers(), Issuers({"internal": World()})
    first = limited.limit(issuers, numbers(burst=2))
    await order(first, "a.example")
    await order(first, "b.example")
    second = limited.limit(issuers, numbers(burst=3))
    await order(second, "c.example")
    with pytest.raises(IssuanceRateExceeded, match="orders_too_fast"):
        await order(second, "d.example")


async def test_a_domain_keeps_what_it_has_spent() -> None:
    limited, issuers = LimitedIssuers(), Issuers({"internal": World()})
    await order(limited.limit(issuers, numbers(burst=9, per_domain=5)), "a.example")
    fewer = limited.limit(issuers, numbers(burst=9, per_domain=1))
    with pytest.raises(IssuanceRateExceeded, match="domain_budget_spent"):
        await order(fewer, "a.example")
    await order(fewer, "b.example")


async def test_an_issuer_that_is_new_begins_with_all_of_it() -> None:
    limited = LimitedIssuers()
    await order(limited.limit(Issuers({"internal": World()}), numbers(burst=1)), "a.example")
    limited.limit(Issuers({}), numbers(burst=1))
    again = limited.limit(Issuers({"internal": World()}), numbers(burst=1))
    await order(again, "a.example")
