"""The keys of pseudonyms in a real OpenBao, by the policies of the documents."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail.key_entries import KeyEntryFault, shard_of
from sidecar.audit_trail.key_store import KeyPlace, KeyStore
from sidecar.observability.audit.day_keys import DAY_SECONDS
from sidecar.observability.audit.key_forest import KeyForest
from sidecar.observability.audit.pseudonyms import (
    PseudonymKeys,
    address_of_day,
    subject_pseudonym,
)
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultConflict, VaultFault, VaultForbidden, VaultStale
from tests.audit_trail.logins import Login

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
T = TypeVar("T")


def names(keys: PseudonymKeys, *subjects: str) -> list[str]:
    return [subject_pseudonym(keys, TENANT, subject) for subject in subjects]


async def test_the_first_sidecar_makes_the_keys_and_all_have_the_same(login: Login) -> None:
    one, two = login.store("Sidecar: pseudonyms"), login.store("Sidecar: pseudonyms")
    first, second = await asyncio.gather(one.read(), two.read())
    assert first == second
    assert (one.version, two.version) == (1, 1)
    assert await login.store("Operator: subject").read_only() == first


async def test_a_deleted_key_is_gone_and_every_other_is_there(
    login: Login, openbao: OpenBao, place: KeyPlace
) -> None:
    sidecar = login.store("Sidecar: pseudonyms")
    operator = login.store("Operator: forget")
    before = await sidecar.read()
    for number in range(6):
        await operator.forget(TENANT, f"gone-{number}")
    await operator.forget(TENANT, "gone-0")
    after = await sidecar.read()
    kept = [f"kept-{number}" for number in range(20)]
    assert names(before, *kept) == names(after, *kept)
    gone = [f"gone-{number}" for number in range(6)]
    assert not set(names(before, *gone)) & set(names(after, *gone))
    assert await login.store("Operator: subject").read_only() == after
    kv = openbao.client.secrets.kv.v2
    shard = shard_of(before.forest.position(TENANT, "gone-0"))
    for path in (place.path, f"{place.path}/{shard}"):
        versions = kv.read_secret_metadata(path, mount_point="secret")["data"]["versions"]
        assert len(versions) == 1, "no older version holds what was deleted"


async def test_two_deletions_at_once_both_take_place(login: Login) -> None:
    sidecar = login.store("Sidecar: pseudonyms")
    before = await sidecar.read()
    one, two = login.store("Operator: forget"), login.store("Operator: forget")
    await asyncio.gather(one.forget(TENANT, "alice"), two.forget(TENANT, "bob"))
    after = await sidecar.read()
    assert not set(names(before, "alice", "bob")) & set(names(after, "alice", "bob"))


class FailsOnce:
    """A client of the real server that loses the connection before a write of the main entry."""

    def __init__(self, vault: VaultClient, path: str) -> None:
        self._vault = vault
        self._path = path
        self.fails = True

    async def read_kv_latest(self, mount: str, path: str) -> tuple[Any, int]:
        return await self._vault.read_kv_latest(mount, path)

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        return await self._vault.perform(operation, path, function)

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        if path == self._path and self.fails:
            self.fails = False
            raise VaultFault("the connection is lost")
        return await self._vault.write_kv(mount, path, data, cas)

    async def read_time(self) -> float:
        return await self._vault.read_time()


@pytest.mark.parametrize("other_first", [False, True])
async def test_a_deletion_that_fails_half_way_can_be_made_again(
    login: Login, place: KeyPlace, *, other_first: bool
) -> None:
    sidecar = login.store("Sidecar: pseudonyms")
    before = await sidecar.read()
    shard = shard_of(before.forest.position(TENANT, "alice"))
    same_shard = next(
        f"s{n}" for n in itertools.count()
        if shard_of(before.forest.position(TENANT, f"s{n}")) == shard
    )  # fmt: skip
    if other_first:
        await login.store("Operator: forget").forget(TENANT, same_shard)
    vault = FailsOnce(login.client("Operator: forget"), place.path)
    operator = KeyStore(vault, place, address_days=30)
    with pytest.raises(VaultFault, match="is lost"):
        await operator.forget(TENANT, "alice")
    half = await sidecar.read()
    assert names(half, "bob") == names(before, "bob")
    await operator.forget(TENANT, "alice")
    after = await sidecar.read()
    assert names(after, "alice") != names(before, "alice")
    assert names(after, "bob") == names(before, "bob")
    assert (names(after, same_shard) == names(before, same_shard)) != other_first


async def test_a_deletion_that_failed_half_way_is_undone_by_no_later_one(
    login: Login, place: KeyPlace
) -> None:
    before = await login.store("Sidecar: pseudonyms").read()
    shard = shard_of(before.forest.position(TENANT, "alice"))
    same_shard = (
        f"s{n}" for n in itertools.count()
        if shard_of(before.forest.position(TENANT, f"s{n}")) == shard
    )  # fmt: skip
    await login.store("Operator: forget").forget(TENANT, next(same_shard))
    vault = FailsOnce(login.client("Operator: forget"), place.path)
    operator = KeyStore(vault, place, address_days=30)
    with pytest.raises(VaultFault, match="is lost"):
        await operator.forget(TENANT, "alice")
    later = next(same_shard)
    await operator.forget(TENANT, later)
    after = await login.store("Sidecar: pseudonyms").read()
    for subject in ("alice", later):
        with pytest.raises(LookupError):
            KeyForest(after.forest.index_key, after.forest.trees[:1]).key(
                after.forest.position(TENANT, subject)
            )


async def test_days_move_on_by_vaults_clock(login: Login) -> None:
    long = await login.store("Sidecar: pseudonyms", days=30).read()
    today = long.days.day
    later = KeyStore(Later(login.client("Sidecar: pseudonyms"), 40), login.place, address_days=30)
    moved = await later.read()
    assert moved.days.day == today + 10
    assert address_of_day(moved, today + 12, "a") == address_of_day(long, today + 12, "a")
    assert address_of_day(moved, today, "a") != address_of_day(long, today, "a")
    assert (await login.store("Sidecar: pseudonyms").read()).days == moved.days


class Later(FailsOnce):
    """A client of the real server whose clock is some days later."""

    def __init__(self, vault: VaultClient, days: int) -> None:
        super().__init__(vault, "")
        self._days = days

    async def read_time(self) -> float:
        return await super().read_time() + self._days * DAY_SECONDS


async def test_the_policies_allow_nothing_more(login: Login, place: KeyPlace) -> None:
    await login.store("Sidecar: pseudonyms").read()
    sidecar, reader = login.client("Sidecar: pseudonyms"), login.client("Operator: subject")
    forgetter = login.client("Operator: forget")
    with pytest.raises(VaultForbidden):
        await sidecar.write_kv("secret", place.path, {}, 1)
    with pytest.raises(VaultForbidden):
        await sidecar.write_kv("secret", f"{place.path}/00", {}, 0)
    with pytest.raises(VaultForbidden):
        await KeyStore(sidecar, place, address_days=30).forget(TENANT, "alice")
    for client in (sidecar, reader, forgetter):

        def delete(client: Any) -> object:
            return client.adapter.delete(url=f"/v1/secret/metadata/{place.path}")

        with pytest.raises(VaultForbidden):
            await client.perform("kv_write", place.path, delete)
    with pytest.raises(VaultForbidden):
        await KeyStore(reader, place, address_days=30).forget(TENANT, "alice")


async def test_what_is_not_there_or_not_whole_is_said(
    login: Login, openbao: OpenBao, place: KeyPlace
) -> None:
    kv = openbao.client.secrets.kv.v2
    with pytest.raises(KeyEntryFault, match="no sidecar has written pseudonyms"):
        await login.store("Operator: subject").read_only()
    with pytest.raises(KeyEntryFault, match="nothing to delete"):
        await login.store("Operator: forget").forget(TENANT, "alice")
    sidecar = login.store("Sidecar: pseudonyms")
    await sidecar.read()
    await login.store("Operator: forget").forget(TENANT, "alice")
    shard = shard_of((await sidecar.read()).forest.position(TENANT, "alice"))
    kv.delete_latest_version_of_secret(f"{place.path}/{shard}", mount_point="secret")
    with pytest.raises(VaultStale, match=f"{place.path}/{shard}"):
        await login.store("Sidecar: pseudonyms").read()
    kv.create_or_update_secret(f"{place.path}/days", {"day": 1}, mount_point="secret")
    kv.create_or_update_secret(place.path, {"value": "x"}, mount_point="secret")
    with pytest.raises(KeyEntryFault, match=f"{place.path}: its content"):
        await sidecar.read()
    kv.delete_latest_version_of_secret(place.path, mount_point="secret")
    with pytest.raises(KeyEntryFault, match="was deleted; undelete it"):
        await sidecar.read()


class AlwaysConflicts(FailsOnce):
    """A client that never gets its turn."""

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:  # noqa: ARG002 - the port's
        raise VaultConflict("another client wrote first")

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:  # noqa: ARG002 - the port's
        raise VaultConflict("another client wrote first")


async def test_who_never_gets_a_turn_gives_up(
    login: Login, place: KeyPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.audit_trail.key_store._PAUSE_SECONDS", 0.0)
    vault = AlwaysConflicts(login.client("Operator: forget"), "")
    with pytest.raises(VaultConflict):
        await KeyStore(vault, place, address_days=30).read()
    await login.store("Sidecar: pseudonyms").read()
    with pytest.raises(VaultConflict):
        await KeyStore(vault, place, address_days=30).forget(TENANT, "alice")
