"""When a drill may order where orders count."""

from typing import Any

import pytest

from sidecar.certificates.drill.floors import FLOOR_SECONDS, OrderFloors
from sidecar.certificates.drill.plan import Rehearsal
from sidecar.certificates.issuers.base import Order
from sidecar.config import model
from tests.support.fleet_kv import MemoryKv

STORE = model.CertificateStoreSettings()
PUBLIC = Rehearsal(Order("a", ("a.example",)), "public")
INTERNAL = PUBLIC._replace(issuer="internal")


def floors(vault: Any) -> OrderFloors:
    return OrderFloors(vault, STORE, frozenset({"public"}))


async def test_an_order_counts_for_six_hours_and_for_every_drill() -> None:
    vault = MemoryKv()
    assert await floors(vault).permit(PUBLIC) == ""
    vault.now += 600
    why = await floors(vault).permit(PUBLIC)
    assert why == ("a drill ordered it 10 minutes ago, and CAs limit orders; again in 350 minutes")
    vault.now += FLOOR_SECONDS - 600
    assert await floors(vault).permit(PUBLIC) == ""


@pytest.mark.parametrize(("ahead", "again"), [(0.9, False), (59.0, False), (3600.0, True)])
async def test_an_entry_of_this_second_seems_to_be_ahead_of_vaults_time(
    ahead: float, again: bool
) -> None:
    """The time is that of a Date header; and a clock that was set back blocks nothing for ever."""
    vault = MemoryKv()
    assert await floors(vault).permit(PUBLIC) == ""
    vault.now -= ahead
    why = await floors(vault).permit(PUBLIC)
    assert why.startswith("" if again else "a drill ordered it 0 minutes ago")
    assert (why == "") is again


async def test_an_issuer_whose_orders_do_not_count_is_always_asked() -> None:
    vault = MemoryKv()
    for _ in range(2):
        assert await floors(vault).permit(INTERNAL) == ""
    assert vault.entries == {}, "and nothing is written"


@pytest.mark.parametrize("seconds", [30.0, -30.0], ids=["held", "its holder died"])
async def test_a_lease_of_the_fleet_comes_first_while_it_lives(seconds: float) -> None:
    vault = MemoryKv()
    path = f"{STORE.prefix}/leases/public/a.example"
    await vault.write_kv(STORE.mount, path, {"holder": "x", "seconds": 60.0, "failures": 0}, 0)
    vault.now += 60 - seconds
    held = await floors(vault).permit(PUBLIC)
    assert held == ("a sidecar of the fleet orders it just now" if seconds > 0 else "")
