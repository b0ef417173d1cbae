"""The keyring with a real OpenBao: first keys, rotation, outages, refusals, bounds."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.encryption.databases import KeyPlace
from tests.workload.encryption.keys_in_hand import (
    DAY,
    EMAIL,
    KEK,
    MOUNT,
    READER_POLICY,
    USER_POLICY,
    FaultyTransit,
    FieldProcess,
    HandClock,
    enable_kek,
    transit,
)
from workload.encryption import KeyScope, keyring
from workload.encryption.errors import FieldKeysAway, FieldKeysDestroyed, FieldKeysMissing
from workload.settings import FieldKeySettings
from workload.vault.errors import VaultCallFault, VaultRefuses

pytestmark = pytest.mark.real
SCOPE = KeyScope("acme", "contact")
TTL, STALE = 300.0, 3600.0


async def test_the_first_key_is_made_and_both_processes_have_it(process: FieldProcess) -> None:
    sealed = await process.keyring.seal(SCOPE, b"value", EMAIL, 1)
    other = process.another()
    assert await other.keyring.open(SCOPE, sealed, EMAIL, 1) == b"value"
    (record,) = await process.place.store.read(SCOPE)
    assert record.wrapped is not None
    assert record.wrapped.startswith("vault:v")
    assert (process.wrapper.made, other.wrapper.made) == (1, 0)


async def test_in_memory_nobody_is_asked_and_after_the_ttl_vault_is(process: FieldProcess) -> None:
    keys = await process.keyring.load(SCOPE)
    process.clock.now += TTL - 1
    assert await process.keyring.load(SCOPE) is keys
    assert process.wrapper.unwrapped == 1
    header = keys.seal(b"x", EMAIL, 1)[:21]
    process.clock.now += 1
    assert await process.keyring.load(SCOPE) is keys
    assert process.wrapper.unwrapped == 2
    made, in_use, again = process.wrapper.handed
    assert made == again == bytearray(32) != in_use, "one copy is in memory"
    assert keys.seal(b"x", EMAIL, 1)[:21] == header, "the writer goes on: the key is the same"


async def test_after_ninety_days_a_new_key_is_read_first_and_then_writes(
    process: FieldProcess,
) -> None:
    keys = await process.keyring.load(SCOPE)
    old = keys.seal(b"old", EMAIL, 1)
    slow = process.another()
    slow_keys = await slow.keyring.load(SCOPE)
    process.clock.now += 90 * DAY - 1
    await process.keyring.load(SCOPE)
    assert keys.versions == (1,)
    await slow.keyring.load(SCOPE)
    process.clock.now += TTL
    await process.keyring.load(SCOPE)
    assert [*keys.versions, keys.writing_version] == [2, 1, 1]
    # A process that was cut off just before the rotation goes on with what it has, and can open
    # all that is written until its keys are past their time.
    slow.wrapper.is_away()
    process.clock.now += STALE - TTL - 1
    assert await slow.keyring.load(SCOPE) is slow_keys
    assert slow_keys.open(keys.seal(b"x", EMAIL, 1), EMAIL, 1) == b"x"
    slow.wrapper.answers()
    process.clock.now += 2 * STALE
    for each in (process, slow):
        await each.keyring.load(SCOPE)
    new = keys.seal(b"new", EMAIL, 1)
    assert (old[4], new[4]) == (1, 2)
    assert slow_keys.open(new, EMAIL, 1) == b"new"
    assert slow_keys.open(old, EMAIL, 1) == b"old"


async def test_while_vault_is_away_keys_go_on_for_an_hour_and_then_fail_closed(
    process: FieldProcess, caplog: pytest.LogCaptureFixture
) -> None:
    keys = await process.keyring.load(SCOPE)
    sealed = keys.seal(b"value", EMAIL, 1)
    process.wrapper.is_away()
    with caplog.at_level(logging.WARNING, "workload.encryption"):
        for _ in range(11):
            process.clock.now += TTL
            assert await process.keyring.load(SCOPE) is keys
            assert process.keyring.loaded(SCOPE).open(sealed, EMAIL, 1) == b"value"
    assert "can't be refreshed, next try" in caplog.text
    process.clock.now += TTL
    with pytest.raises(FieldKeysAway):
        await process.keyring.load(SCOPE)
    with pytest.raises(FieldKeysAway):
        keys.open(sealed, EMAIL, 1)
    process.clock.now += 31
    process.wrapper.answers()
    assert await process.keyring.open(SCOPE, sealed, EMAIL, 1) == b"value"


async def test_after_an_outage_nobody_is_asked_for_a_while(process: FieldProcess) -> None:
    await process.keyring.load(SCOPE)
    process.wrapper.is_away()
    process.clock.now += TTL
    await process.keyring.load(SCOPE)
    process.wrapper.answers()
    for _ in range(5):
        await process.keyring.load(SCOPE)
        with pytest.raises(FieldKeysAway):
            await process.keyring.load(KeyScope("other", "contact"))
    assert process.wrapper.unwrapped == 1
    process.clock.now += 1
    await process.keyring.load(SCOPE)
    assert process.wrapper.unwrapped == 2


async def test_a_vault_that_is_gone_is_an_outage(
    own_openbao: OpenBao, place: KeyPlace, tmp_path: Path
) -> None:
    enable_kek(own_openbao)
    wrapper = FaultyTransit(transit(own_openbao, USER_POLICY, tmp_path))
    process = FieldProcess(place, wrapper, HandClock())
    keys = await process.keyring.load(SCOPE)
    own_openbao.stop()
    process.clock.now += TTL
    assert await process.keyring.load(SCOPE) is keys
    process.clock.now += STALE
    with pytest.raises(FieldKeysAway, match="can't be loaded: Vault at"):
        await process.keyring.load(SCOPE)


async def test_a_database_that_is_gone_is_an_outage(process: FieldProcess) -> None:
    keys = await process.keyring.load(SCOPE)
    process.place.database.go_away()
    process.clock.now += TTL
    assert await process.keyring.load(SCOPE) is keys
    process.clock.now += STALE
    with pytest.raises(FieldKeysAway, match="the database fails"):
        await process.keyring.load(SCOPE)


async def test_a_refusal_is_no_outage_and_wipes_at_once(
    process: FieldProcess, kek: OpenBao
) -> None:
    keys = await process.keyring.load(SCOPE)
    kek.client.sys.create_or_update_policy("fields-test", 'path "nothing" { capabilities = [] }')
    process.clock.now += TTL
    with pytest.raises(VaultRefuses):
        await process.keyring.load(SCOPE)
    with pytest.raises(FieldKeysAway):
        keys.seal(b"x", EMAIL, 1)
    with pytest.raises(FieldKeysAway, match="not in memory"):
        process.keyring.loaded(SCOPE)


async def test_a_rotation_that_is_not_allowed_keeps_the_old_key(
    process: FieldProcess, kek: OpenBao, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await process.keyring.load(SCOPE)
    reader = process.another()
    reader.wrapper.real = transit(kek, READER_POLICY, tmp_path, "fields-reader")
    process.clock.now += 91 * DAY
    keys = await reader.keyring.load(SCOPE)
    assert keys.versions == (1,)
    assert "the next data key is due and can't be made" in caplog.text
    with pytest.raises(VaultRefuses):
        await reader.keyring.load(KeyScope("new", "contact"))


async def test_may_create_is_a_setting(process: FieldProcess) -> None:
    reader = process.another(replace(process.settings, may_create=False))
    with pytest.raises(FieldKeysMissing, match="may_create"):
        await reader.keyring.load(SCOPE)
    await process.keyring.load(SCOPE)
    process.clock.now += 91 * DAY
    assert (await reader.keyring.load(SCOPE)).versions == (1,)


async def test_a_wrapped_key_of_another_tenant_does_not_open(process: FieldProcess) -> None:
    """Whoever writes into the key table can't put one tenant's key in another's place."""
    await process.keyring.load(SCOPE)
    with process.place.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE field_keys SET tenant = 'victim'")
    with pytest.raises(VaultCallFault):
        await process.another().keyring.load(KeyScope("victim", "contact"))


async def test_a_kek_for_each_tenant(process: FieldProcess, kek: OpenBao, tmp_path: Path) -> None:
    enable_kek(kek, f"{KEK}-acme")
    settings = FieldKeySettings(KEK, MOUNT, kek_per_tenant=True)
    own = process.another(settings)
    own.wrapper.real = transit(
        kek, USER_POLICY.replace(f"/{KEK}", f"/{KEK}-acme"), tmp_path, "fields-acme"
    )
    await own.keyring.load(SCOPE)
    (record,) = await process.place.store.read(SCOPE)
    assert record.kek == f"{KEK}-acme"
    with pytest.raises(VaultRefuses):
        await own.keyring.load(KeyScope("other", "contact"))


async def test_destroyed_keys_are_gone_from_memory_after_the_ttl_even_while_vault_is_away(
    process: FieldProcess,
) -> None:
    keys = await process.keyring.load(SCOPE)
    await process.another().admin.shred(SCOPE)
    process.wrapper.is_away()
    process.clock.now += TTL
    with pytest.raises(FieldKeysDestroyed):
        await process.keyring.load(SCOPE)
    with pytest.raises(FieldKeysAway):
        keys.seal(b"x", EMAIL, 1)


async def test_a_row_that_names_another_path_of_vault_is_not_followed(
    process: FieldProcess,
) -> None:
    await process.keyring.load(SCOPE)
    with process.place.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE field_keys SET kek = '../../secret/data/x'")
    with pytest.raises(VaultCallFault, match="the name of the KEK is none"):
        await process.another().keyring.load(SCOPE)


async def test_a_wrapped_key_of_an_older_version_is_not_the_newer_one(
    process: FieldProcess,
) -> None:
    """Nor can it be brought back as the one that writes."""
    await process.keyring.load(SCOPE)
    await process.admin.rotate(SCOPE)
    with process.place.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE field_keys SET wrapped = "
            "(SELECT wrapped FROM field_keys WHERE version = 1) WHERE version = 2"
        )
    with pytest.raises(VaultCallFault):
        await process.another().keyring.load(SCOPE)


async def test_a_database_that_hangs_is_an_outage(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(scope: KeyScope) -> None:
        assert scope == SCOPE
        await asyncio.Event().wait()

    keys = await process.keyring.load(SCOPE)
    monkeypatch.setattr(keyring, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(process.place.store, "read", hangs)
    process.clock.now += TTL
    assert await process.keyring.load(SCOPE) is keys
    process.clock.now += STALE
    with pytest.raises(FieldKeysAway, match=r"no answer within 0\.05 s"):
        await process.keyring.load(SCOPE)
    with pytest.raises(FieldKeysAway, match="asked again in a moment"):
        await process.keyring.load(SCOPE)
