"""Whose KEK wraps a scope's keys, and who makes the next of them."""

import asyncio

import pytest

from tests.workload.encryption.keys_in_hand import KEK, MOUNT, FieldProcess
from workload.encryption import KeyScope
from workload.encryption.creation import KeyCreation
from workload.encryption.errors import FieldInputFault, FieldKeysDestroyed
from workload.settings import FieldKeySettings

pytestmark = pytest.mark.real
SCOPE = KeyScope("acme", "contact")


def creation(process: FieldProcess, settings: FieldKeySettings) -> KeyCreation:
    return KeyCreation(process.place.store, process.wrapper, settings, process.clock)


@pytest.mark.parametrize("tenant", ["a/b", "..", "a.b", "é", "a" * 65, "a b"])
def test_a_tenant_that_names_no_kek(process: FieldProcess, tenant: str) -> None:
    each = creation(process, FieldKeySettings(KEK, MOUNT, kek_per_tenant=True))
    with pytest.raises(FieldInputFault, match="kek_per_tenant"):
        each.kek_of(KeyScope(tenant, "contact"))
    assert each.kek_of(SCOPE) == f"{KEK}-acme"
    assert creation(process, FieldKeySettings(KEK)).kek_of(KeyScope(tenant, "contact")) == KEK


async def test_of_several_that_make_a_version_one_wins_and_all_have_it(
    process: FieldProcess,
) -> None:
    makers = [creation(process, process.settings) for _ in range(4)]
    empty = await makers[0].plan(SCOPE)
    plans = await asyncio.gather(*[each.make_next(SCOPE, empty) for each in makers])
    assert len({plan.live for plan in plans}) == 1
    assert plans[0].writing == plans[0].newest == 1
    assert process.wrapper.handed == [bytearray(32)] * 4, "wiped: nobody uses them yet"


async def test_no_version_is_made_over_a_scope_that_was_closed_meanwhile(
    process: FieldProcess,
) -> None:
    maker = creation(process, process.settings)
    plan = await maker.plan(SCOPE)
    await process.admin.shred(SCOPE)
    with pytest.raises(FieldKeysDestroyed):
        await maker.make_next(SCOPE, plan)
    assert all(each.wrapped is None for each in await process.place.store.read(SCOPE))
