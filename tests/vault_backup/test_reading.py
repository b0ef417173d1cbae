"""Every entry of the settings is read from a real OpenBao, by the least policy."""

import pytest

from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultForbidden
from sidecar.vault_backup import reading
from sidecar.vault_backup.entries import EntryRules, StoredEntry
from sidecar.vault_backup.reading import back_up
from tests.vault_backup.kv_world import KvWorld

pytestmark = pytest.mark.real
NOTHING = 'path "sys/none" { capabilities = ["read"] }'


async def _read(world: KvWorld) -> tuple[dict[str, StoredEntry], dict[str, int | None]]:
    found: dict[str, StoredEntry] = {}

    def add(entry: StoredEntry) -> None:
        assert entry.name not in found, "each entry once"
        found[entry.name.removeprefix(f"secret/{world.root}/")] = entry

    with world.client("backup") as vault:
        rows = await back_up(vault, world.places, add)
    return found, {row.name.removeprefix(f"secret/{world.root}/"): row.version for row in rows}


async def test_the_newest_version_of_each_and_what_is_not_there(world: KvWorld) -> None:
    world.put("keys", value="old")
    world.put("keys", value="new", n=True)
    world.put("revoked/tenants", kids=["a"])
    world.put("store/edge/pair", pem="x")
    world.put("store/a/b/c", pem="y")
    world.put("store/gone", pem="z")
    world.kv.delete_latest_version_of_secret(f"{world.root}/store/gone")
    world.put("elsewhere", value="not the sidecar's")
    world.kv.update_metadata(
        f"{world.root}/keys", max_versions=3, delete_version_after="2h0m0s",
        custom_metadata={"owner": "iam"},
    )  # fmt: skip
    found, rows = await _read(world)
    assert rows == {
        "keys": 2,
        "revoked": None,
        "revoked/tenants": 1,
        "publishers": None,
        "store/a/b/c": 1,
        "store/edge/pair": 1,
    }
    assert found["keys"].data == {"value": "new", "n": True}
    assert found["keys"].rules == EntryRules(3, False, "2h0m0s", {"owner": "iam"})
    assert found["keys"].written_at > 1_600_000_000
    assert found["store/a/b/c"].rules == EntryRules()
    assert set(found) == {name for name, version in rows.items() if version is not None}


async def test_a_folder_has_a_bound_in_depth_and_all_of_it_in_number(
    world: KvWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("store/" + "/".join("abcdefghijklmnopq"), pem="x")
    with pytest.raises(Fault, match="more than 16 deep"):
        await _read(world)
    world.erase("store/" + "/".join("abcdefghijklmnopq"))
    world.put("keys", value="x")
    world.put("publishers", value="x")
    monkeypatch.setattr(reading, "MAX_ENTRIES", 1)
    with pytest.raises(Fault, match="more than 1 entries"):
        await _read(world)


async def test_a_refusal_ends_the_backup(world: KvWorld) -> None:
    """An archive that has less than all would be taken for whole."""
    world.put("keys", value="x")
    with world.client("backup") as vault:
        world.server.client.sys.create_or_update_policy(f"{world.root}-backup", NOTHING)
        with pytest.raises(VaultForbidden):
            await back_up(vault, world.places, lambda _: None)
