"""The same without an event loop."""

import os

import pytest

from tests.workload.secrets.conftest import DatabaseWorld
from tests.workload.secrets.test_database import SHOP
from tests.workload.secrets.test_entry import ENTRY, write
from workload.secrets import BlockingSecrets, KvEntry
from workload.vault.errors import VaultHasNot

pytestmark = pytest.mark.real


def test_any_thread_reads_follows_and_is_a_user(world: DatabaseWorld) -> None:
    write(world, key="one")
    before = world.users()
    with BlockingSecrets(world.server) as secrets:
        assert secrets.read(ENTRY)["key"].reveal() == "one"
        assert secrets.follow(ENTRY)["key"].reveal() == "one"
        user = secrets.database(SHOP).current
        assert world.users() - before == {user.name}
        with pytest.raises(VaultHasNot):
            secrets.read(KvEntry("shop/nothing"))
    assert world.users() == before
    secrets.close()


def test_a_child_does_not_end_what_its_parent_has(world: DatabaseWorld) -> None:
    secrets = BlockingSecrets(world.server)
    secrets._thread._process = os.getppid()  # as if this were the child
    secrets.close()
    secrets._thread._process = os.getpid()
    write(world, key="one")
    assert secrets.read(ENTRY)["key"].reveal() == "one"
    secrets.close()
