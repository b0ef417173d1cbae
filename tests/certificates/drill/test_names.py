"""Which names on demand a drill orders."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.certificates.drill.names import drawn, on_demand_orders
from sidecar.certificates.drill.plan import DrillFault
from sidecar.certificates.on_demand.domains import Registration
from sidecar.config.on_demand import FileRegistry, HttpRegistry, OnDemandSettings

VAULT: Any = None
"""No registry here is in Vault."""
LISTED = [
    {"domain": "a.example", "tenant_id": "t"},
    {"domain": "*.b.example", "tenant_id": "t"},
    {"domain": "*.c.example", "tenant_id": "t", "wildcard": True, "issuer": "second"},
]


@pytest.fixture
def settings(tmp_path: Path) -> OnDemandSettings:
    path = tmp_path / "domains.json"
    path.write_text(json.dumps(LISTED))
    return OnDemandSettings(issuer="first", registry=FileRegistry(path=str(path)))


NAMED: list[tuple[str, str, tuple[str, str, str]]] = [
    ("a host", "A.Example.", ("a.example", "first", "a.example")),
    ("below a domain", "x.b.example", ("x.b.example", "first", "*.b.example")),
    ("by one wildcard", "x.c.example", ("*.c.example", "second", "*.c.example")),
]


@pytest.mark.parametrize(("asked", "order"), [r[1:] for r in NAMED], ids=[r[0] for r in NAMED])
async def test_a_name_is_ordered_as_a_handshake_would(
    settings: OnDemandSettings, asked: str, order: tuple[str, str, str]
) -> None:
    ((made, issuer),) = await on_demand_orders(settings, VAULT, [asked], 0)
    assert (made.name, issuer, made.account) == order
    assert made.dns_names == (made.name,)


REFUSED: list[tuple[str, str, str]] = [
    ("unknown", "x.example", "is neither under certificates nor registered"),
    ("no name", "a..example", "is denied: name_malformed"),
    ("an address", "127.0.0.1", "is denied: name_is_address"),
]


@pytest.mark.parametrize(("asked", "why"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
async def test_another_name_ends_the_drill_before_it_begins(
    settings: OnDemandSettings, asked: str, why: str
) -> None:
    with pytest.raises(DrillFault, match=why):
        await on_demand_orders(settings, VAULT, [asked], 0)


async def test_by_lot_and_by_name_each_once(settings: OnDemandSettings) -> None:
    orders = await on_demand_orders(settings, VAULT, ["a.example"], 10)
    assert sorted(order.name for order, _ in orders) == ["*.c.example", "a.example"]


def test_no_more_than_the_limit_and_not_always_the_same() -> None:
    listed = [Registration(f"n{at}.example", "t") for at in range(200)]
    settings = OnDemandSettings(issuer="first", registry=FileRegistry(path="/x"))
    draws = [frozenset(order.name for order, _ in drawn(settings, listed, 5)) for _ in range(4)]
    assert all(len(each) == 5 for each in draws)
    assert len(set(draws)) > 1


async def test_without_a_registry_or_with_one_that_lists_nothing() -> None:
    assert await on_demand_orders(None, VAULT, [], 5) == []
    with pytest.raises(DrillFault, match="no certificate 'x' under certificates, and no on_demand"):
        await on_demand_orders(None, VAULT, ["x"], 0)
    asked = OnDemandSettings(issuer="first", registry=HttpRegistry(url="https://127.0.0.1:1/"))
    with pytest.raises(DrillFault, match="--limit can draw none: give the names"):
        await on_demand_orders(asked, VAULT, [], 5)
