"""Many callers and processes at once: one refresh, a bounded cache, keys that end in use."""

import asyncio
from dataclasses import replace

import pytest

from tests.workload.encryption.keys_in_hand import EMAIL, FieldProcess
from workload.encryption import KeyScope
from workload.encryption.errors import FieldKeysAway

pytestmark = pytest.mark.real
SCOPE = KeyScope("acme", "contact")
TTL, STALE = 300.0, 3600.0


async def test_many_processes_that_start_at_once_have_one_key(process: FieldProcess) -> None:
    others = [process.another() for _ in range(4)]
    loads = [each.keyring.load(SCOPE) for each in others for _ in range(5)]
    keys = await asyncio.gather(*loads)
    sealed = keys[0].seal(b"value", EMAIL, 1)
    assert {each.open(sealed, EMAIL, 1) for each in keys} == {b"value"}
    assert len(await process.place.store.read(SCOPE)) == 1
    assert all(each.wrapper.unwrapped == 1 for each in others), "one refresh for all who wait"


async def test_the_cache_is_bounded_and_those_in_use_live_on(process: FieldProcess) -> None:
    small = process.another(replace(process.settings, max_scopes=3))
    first = await small.keyring.load(KeyScope("t0", "contact"))
    for number in range(1, 5):
        await small.keyring.load(KeyScope(f"t{number}", "contact"))
    assert len(small.keyring._entries) == 3
    with pytest.raises(FieldKeysAway):
        small.keyring.loaded(KeyScope("t0", "contact"))
    assert first.seal(b"x", EMAIL, 1), "whoever has them in hand may end"
    key = first.held()[1]
    material = key._material
    del first, key
    assert material == bytearray(32), "and then they are wiped"


async def test_a_caller_that_leaves_takes_nothing_from_the_others(process: FieldProcess) -> None:
    leaving = asyncio.create_task(process.keyring.load(SCOPE))
    staying = asyncio.create_task(process.keyring.load(SCOPE))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).versions == (1,)
    assert leaving.cancelled()


async def test_closing_wipes_everything(process: FieldProcess) -> None:
    keys = await process.keyring.load(SCOPE)
    loading = asyncio.create_task(process.keyring.load(KeyScope("other", "contact")))
    await asyncio.sleep(0)
    await process.keyring.aclose()
    with pytest.raises(FieldKeysAway):
        keys.seal(b"x", EMAIL, 1)
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert not process.keyring._entries


async def test_keys_that_are_evicted_while_they_are_refreshed_are_unwrapped_anew(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their holder wipes them when they are past their time, and must not wipe the new ones."""
    old = await process.keyring.load(SCOPE)
    unwrap = process.wrapper.unwrap

    async def evicting(kek: str, wrapped: str, context: bytes) -> bytearray:
        process.keyring._entries.pop(SCOPE, None)
        return await unwrap(kek, wrapped, context)

    monkeypatch.setattr(process.wrapper, "unwrap", evicting)
    process.clock.now += TTL
    keys = await process.keyring.load(SCOPE)
    assert keys is not old
    old.wipe()
    assert keys.seal(b"x", EMAIL, 1)


async def test_keys_that_are_wiped_while_they_are_refreshed_are_unwrapped_anew(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await process.keyring.load(SCOPE)
    await process.admin.rotate(SCOPE)
    process.clock.now += TTL
    await process.keyring.load(SCOPE)
    unwrap = process.wrapper.unwrap

    async def wiping(kek: str, wrapped: str, context: bytes) -> bytearray:
        keys.wipe()
        return await unwrap(kek, wrapped, context)

    monkeypatch.setattr(process.wrapper, "unwrap", wiping)
    process.clock.now += TTL
    assert await process.keyring.load(SCOPE) is keys
    assert not any(key.is_wiped for key in keys.held().values())
    keys.wipe()
    assert await process.keyring.load(SCOPE) is keys, "wiped keys are not fresh"
    assert keys.versions == (2, 1)
