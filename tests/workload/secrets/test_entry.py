"""Entries of a real OpenBao: read, followed through changes, outages and deletion."""

import asyncio
import logging

import pytest

from tests.workload.secrets.conftest import DatabaseWorld
from tests.workload.secrets.test_database import Clock
from workload.secrets import FollowedEntry, KvEntry, SecretsAway, SecretsFault
from workload.secrets.entry import read_entry
from workload.vault.client import VaultApi
from workload.vault.errors import VaultAway, VaultHasNot, VaultRefuses

pytestmark = pytest.mark.real
ENTRY = KvEntry("shop/payment")


def write(world: DatabaseWorld, **fields: object) -> None:
    kv = world.openbao.client.secrets.kv.v2
    kv.create_or_update_secret("shop/payment", fields, mount_point="secret")


def following(world: DatabaseWorld, clock: Clock) -> FollowedEntry:
    vault = VaultApi(world.server, clock)
    return FollowedEntry(vault, ENTRY, clock, lambda: 0.0, poll_seconds=60, max_stale_seconds=3600)


async def test_the_newest_version_and_what_is_in_it(world: DatabaseWorld) -> None:
    write(world, key="first", port=5432, nested={"a": "b"})
    write(world, key="second", port=5432)
    clock = Clock()
    found = await read_entry(VaultApi(world.server, clock), ENTRY, clock)
    assert (found["key"].reveal(), found.read_at) == ("second", 1000.0)
    with pytest.raises(SecretsFault, match="no field 'port' that is a text; those there: key"):
        _ = found["port"]
    assert "second" not in repr(found)


@pytest.mark.parametrize(
    ("path", "fault"),
    [("shop/nothing", VaultHasNot), ("elsewhere/payment", VaultRefuses)],
)
async def test_what_can_t_be_read(world: DatabaseWorld, path: str, fault: type[Exception]) -> None:
    clock = Clock()
    with pytest.raises(fault, match=f"secret/data/{path}"):
        await read_entry(VaultApi(world.server, clock), KvEntry(path), clock)


async def test_a_change_is_seen_at_the_next_poll_and_waited_for(world: DatabaseWorld) -> None:
    write(world, key="old")
    clock = Clock()
    entry = following(world, clock)
    await entry.load()
    old = entry.current
    waiting = asyncio.create_task(entry.changed(old))
    clock.now += 61
    await entry.step()
    assert not waiting.done()
    write(world, key="new")
    clock.now += 30
    await entry.step()
    assert entry["key"].reveal() == "old"
    clock.now += 31
    await entry.step()
    assert (await waiting)["key"].reveal() == entry["key"].reveal() == "new"
    assert (await entry.changed(old)) is entry.current


@pytest.mark.parametrize("fault", [VaultAway("nobody answers"), VaultHasNot("deleted")])
async def test_without_an_answer_the_last_version_stays_for_its_time(
    world: DatabaseWorld,
    fault: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(world, key="held")
    clock = Clock()
    entry = following(world, clock)
    await entry.load()

    async def fails(*_: object) -> None:
        raise fault

    monkeypatch.setattr(VaultApi, "call", fails)
    for _ in range(50):
        clock.now += 61
        await entry.step()
    assert entry["key"].reveal() == "held"
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "the secret secret/shop/payment was not refreshed" in caplog.text
    clock.now += 601
    with pytest.raises(SecretsAway, match="not confirmed by Vault for 3600 s"):
        _ = entry["key"]
    monkeypatch.undo()
    await entry.step()
    assert entry["key"].reveal() == "held"


async def test_however_often_it_is_asked_for_it_is_read_once_a_second(
    world: DatabaseWorld,
) -> None:
    write(world, key="x")
    clock = Clock()
    vault = VaultApi(world.server, clock)
    entry = FollowedEntry(vault, ENTRY, clock, lambda: 0.0, poll_seconds=0, max_stale_seconds=60)
    await entry.load()
    assert entry.due == clock.now + 1


async def test_one_that_was_never_read_is_away(world: DatabaseWorld) -> None:
    with pytest.raises(SecretsAway):
        _ = following(world, Clock()).current


async def test_an_engine_of_version_1_is_named(
    world: DatabaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call(*_: object) -> dict[str, object]:
        return {"data": {"key": "x"}}

    clock = Clock()
    monkeypatch.setattr(VaultApi, "call", call)
    with pytest.raises(SecretsFault, match="no entry of a KV engine of version 2"):
        await read_entry(VaultApi(world.server, clock), ENTRY, clock)
