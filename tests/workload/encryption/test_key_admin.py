"""Keys rotated, retired, shredded and wrapped again, with a real OpenBao."""

import asyncio

import pytest

from demo.openbao import OpenBao
from tests.workload.encryption.keys_in_hand import EMAIL, KEK, MOUNT, FieldProcess
from workload.encryption import KeyScope, key_admin
from workload.encryption.errors import (
    FieldInputFault,
    FieldKeysAway,
    FieldKeysDestroyed,
    ValueDoesNotOpen,
)
from workload.encryption.versions import wrapping_context
from workload.vault.errors import VaultInvalid

pytestmark = pytest.mark.real
SCOPE = KeyScope("acme", "contact")
AHEAD = 7200.0


async def rotated(process: FieldProcess) -> bytes:
    """Seal a value, rotate, and let the new key write; returns the old value."""
    old = await process.keyring.seal(SCOPE, b"old", EMAIL, 1)
    await process.admin.rotate(SCOPE)
    process.clock.now += AHEAD
    await process.keyring.load(SCOPE)
    return old


async def test_a_rotation_by_hand_and_no_second_one_while_it_waits(process: FieldProcess) -> None:
    old = await process.keyring.seal(SCOPE, b"old", EMAIL, 1)
    assert await process.admin.rotate(SCOPE) == 2
    assert await process.admin.rotate(SCOPE) == 2
    process.clock.now += AHEAD
    new = await process.keyring.seal(SCOPE, b"new", EMAIL, 1)
    assert (old[4], new[4]) == (1, 2)
    assert await process.keyring.open(SCOPE, old, EMAIL, 1) == b"old"
    assert await process.admin.rotate(SCOPE) == 3


async def test_an_old_version_is_retired_and_not_the_one_that_writes(
    process: FieldProcess,
) -> None:
    old = await rotated(process)
    keys = await process.keyring.load(SCOPE)
    for version in (2, 3):
        with pytest.raises(FieldInputFault, match="writes no longer"):
            await process.admin.retire(SCOPE, version)
    gone = keys.held()[1]
    assert await process.admin.retire(SCOPE, 1)
    assert not await process.admin.retire(SCOPE, 1)
    process.clock.now += 300
    await process.keyring.load(SCOPE)
    with pytest.raises(ValueDoesNotOpen):
        keys.open(old, EMAIL, 1)
    with pytest.raises(FieldKeysAway, match="wiped"):
        gone.writer()
    assert keys.seal(b"x", EMAIL, 1)[4] == 2
    # A process that begins now knows of version 1 no more, and makes no other one.
    assert (await process.another().keyring.load(SCOPE)).versions == (2,)


async def test_a_pending_version_can_not_be_retired_nor_what_writes_before_it(
    process: FieldProcess,
) -> None:
    await process.keyring.load(SCOPE)
    await process.admin.rotate(SCOPE)
    for version in (1, 2):
        with pytest.raises(FieldInputFault):
            await process.admin.retire(SCOPE, version)


async def test_a_person_is_shredded_and_the_tenant_lives_on(process: FieldProcess) -> None:
    person, other = (KeyScope("acme", "contact", name) for name in ("p-1", "p-2"))
    sealed = {each: await process.keyring.seal(each, b"x", EMAIL, 1) for each in (person, other)}
    await process.admin.shred(person)
    process.clock.now += 300
    with pytest.raises(FieldKeysDestroyed):
        await process.keyring.load(person)
    assert await process.keyring.open(other, sealed[other], EMAIL, 1) == b"x"
    with pytest.raises(FieldKeysDestroyed):
        await process.another().keyring.seal(person, b"a late writer", EMAIL, 1)
    with pytest.raises(FieldKeysDestroyed):
        await process.admin.rotate(person)


async def test_a_tenant_is_shredded_with_all_its_persons_and_indexes(
    process: FieldProcess,
) -> None:
    scopes = [
        SCOPE, SCOPE.for_index(), KeyScope("acme", "health"), KeyScope("acme", "contact", "p-1"),
    ]  # fmt: skip
    other = KeyScope("other", "contact")
    for scope in (*scopes, other):
        await process.keyring.load(scope)
    assert await process.admin.shred_tenant("acme") == 4
    fresh = process.another()
    for scope in scopes:
        with pytest.raises(FieldKeysDestroyed):
            await fresh.keyring.load(scope)
    assert (await fresh.keyring.load(other)).versions == (1,)
    assert await process.admin.shred_tenant("acme") == 0
    assert await process.admin.shred_tenant("nobody") == 0


async def test_a_scope_is_closed_before_it_ever_had_a_key_and_twice(
    process: FieldProcess,
) -> None:
    for _ in range(2):
        await process.admin.shred(SCOPE)
    assert len(await process.place.store.read(SCOPE)) == 1
    with pytest.raises(FieldKeysDestroyed):
        await process.keyring.load(SCOPE)


async def test_of_shredding_and_rotating_at_once_shredding_stays(process: FieldProcess) -> None:
    await process.keyring.load(SCOPE)
    rotations = [process.another().admin.rotate(SCOPE) for _ in range(3)]
    outcomes = await asyncio.gather(*rotations, process.admin.shred(SCOPE), return_exceptions=True)
    assert all(isinstance(each, int | FieldKeysDestroyed | None) for each in outcomes), outcomes
    assert all(each.wrapped is None for each in await process.place.store.read(SCOPE))


async def test_keys_are_wrapped_again_in_batches_from_where_a_run_was_cut_off(
    process: FieldProcess, kek: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_admin, "BATCH", 2)
    scopes = [KeyScope(f"t{number}", "contact") for number in range(5)]
    sealed = [await process.keyring.seal(scope, b"x", EMAIL, 1) for scope in scopes]
    await process.admin.shred(scopes[3])
    before = {each: await process.place.store.read(each) for each in scopes}
    kek.client.write_data(f"{MOUNT}/keys/{KEK}/rotate", data={})
    run = process.admin.rewrap()
    first = await anext(run)
    assert (first.rewrapped, first.changed_meanwhile) == (2, 0)
    await run.aclose()
    rest = [each async for each in process.admin.rewrap(first.cursor)]
    assert sum(each.rewrapped for each in rest) == 2
    newest = kek.client.read(f"{MOUNT}/keys/{KEK}")["data"]["latest_version"]
    config = {"min_decryption_version": newest}
    kek.client.write_data(f"{MOUNT}/keys/{KEK}/config", data=config)
    fresh = process.another()
    for scope, value in zip(scopes, sealed, strict=True):
        if scope != scopes[3]:
            assert await fresh.keyring.open(scope, value, EMAIL, 1) == b"x"
    (record,) = before[scopes[0]]
    context = wrapping_context(record.scope, record.version)
    with pytest.raises(VaultInvalid):
        await process.wrapper.unwrap(record.kek, str(record.wrapped), context)


async def test_a_key_that_is_shredded_while_it_is_wrapped_again_stays_shredded(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await process.keyring.load(SCOPE)
    rewrap = process.wrapper.real.rewrap

    async def shredding(kek: str, wrapped: str, context: bytes) -> str:
        await process.admin.shred(SCOPE)
        return await rewrap(kek, wrapped, context)

    monkeypatch.setattr(process.wrapper, "rewrap", shredding)
    (progress,) = [each async for each in process.admin.rewrap()]
    assert (progress.rewrapped, progress.changed_meanwhile) == (0, 1)
    assert all(each.wrapped is None for each in await process.place.store.read(SCOPE))
