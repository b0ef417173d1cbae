"""One service's secrets, as a service uses them."""

import asyncio
import contextlib

import pytest

from tests.workload.secrets.conftest import DatabaseWorld
from tests.workload.secrets.test_entry import ENTRY, write
from workload.errors import Fault
from workload.secrets import KvEntry, Secrets, SecretsFault, client

pytestmark = pytest.mark.real


async def test_read_and_follow(world: DatabaseWorld) -> None:
    write(world, key="one")
    async with Secrets(world.server) as secrets:
        assert (await secrets.read(ENTRY))["key"].reveal() == "one"
        entry = await secrets.follow(ENTRY, poll_seconds=1)
        assert await secrets.follow(ENTRY, poll_seconds=1) is entry
        write(world, key="two")
        async with asyncio.timeout(20):
            assert (await entry.changed(entry.current))["key"].reveal() == "two"
    tasks = [each.get_name() for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    assert not tasks


async def test_what_is_not_there_ends_the_start_and_leaves_nothing_behind(
    world: DatabaseWorld,
) -> None:
    async with Secrets(world.server) as secrets:
        for _ in range(2):
            with pytest.raises(Fault, match="shop/nothing"):
                await secrets.follow(KvEntry("shop/nothing"))
        assert not secrets._followed


async def test_so_many_are_followed_and_no_more(
    world: DatabaseWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_FOLLOWED", 2)
    write(world, key="one")
    async with Secrets(world.server) as secrets:
        for seconds in (10, 20):
            await secrets.follow(ENTRY, poll_seconds=seconds)
        with pytest.raises(SecretsFault, match="2 secrets are followed already"):
            await secrets.follow(ENTRY, poll_seconds=30)


async def test_a_fault_in_the_block_still_ends_everything(world: DatabaseWorld) -> None:
    write(world, key="one")
    with contextlib.suppress(ZeroDivisionError):
        async with Secrets(world.server) as secrets:
            await secrets.follow(ENTRY)
            _ = 1 / 0
    assert len(asyncio.all_tasks()) == 1
