"""Entries are written back to a real OpenBao: what may be, and nothing over what is newer."""

from collections.abc import Iterable

import pytest

from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultConflict
from sidecar.vault_backup.entries import EntryRules, StoredEntry
from sidecar.vault_backup.restoring import (
    Overwriting,
    RestoreOutcome,
    RestoreRow,
    Standing,
    compare,
    restore_archive,
    restore_entry,
)
from tests.vault_backup.kv_world import KvWorld

pytestmark = pytest.mark.real
LONG_AGO, LATER = 1.0, 9e9


class Archive:
    """Entries in hand, that can be read twice."""

    def __init__(self, *entries: StoredEntry) -> None:
        self._entries = entries

    async def entries(self) -> Iterable[StoredEntry]:
        return iter(self._entries)


def _entry(world: KvWorld, path: str, written_at: float = LATER, **data: object) -> StoredEntry:
    return StoredEntry("secret", f"{world.root}/{path}", 5, written_at, data)


async def _restore(
    world: KvWorld,
    *entries: StoredEntry,
    overwriting: Overwriting = Overwriting.NOT_NEWER,
    dry_run: bool = False,
) -> RestoreOutcome:
    with world.client("restore") as vault:
        return await restore_archive(
            vault, Archive(*entries), world.places, overwriting, dry_run=dry_run
        )


def _standings(outcome: RestoreOutcome) -> list[tuple[Standing, bool]]:
    return [(row.standing, row.is_written) for row in outcome.rows]


async def test_what_is_missing_comes_back_with_its_rules(world: KvWorld) -> None:
    rules = EntryRules(1, True, "3h0m0s", {"owner": "é"})
    entry = StoredEntry("secret", f"{world.root}/keys", 9, LATER, {"n": True, "é": [1]}, rules)
    outcome = await _restore(world, entry, _entry(world, "store/a/b", pem="x"))
    assert _standings(outcome) == [(Standing.MISSING, True)] * 2
    assert (outcome.written, outcome.is_held_back) == (2, False)
    assert world.get("keys") == {"n": True, "é": [1]}
    assert world.get("store/a/b") == {"pem": "x"}
    found = world.metadata("keys")
    assert (found["max_versions"], found["cas_required"]) == (1, True)
    assert (found["delete_version_after"], found["custom_metadata"]) == ("3h0m0s", {"owner": "é"})


async def test_what_is_there_is_judged_by_when_it_was_written(world: KvWorld) -> None:
    for path in ("keys", "publishers", "store/a"):
        world.put(path, value=1)
    outcome = await _restore(
        world, _entry(world, "keys", value=1), _entry(world, "publishers", value=True)
    )
    assert _standings(outcome) == [(Standing.SAME, False), (Standing.OLDER, True)]
    assert world.get("publishers") == {"value": True}
    assert world.metadata("publishers")["current_version"] == 2
    assert world.metadata("keys")["current_version"] == 1


async def test_one_newer_entry_holds_all_back_until_the_operator_decides(world: KvWorld) -> None:
    world.put("revoked", kids=["revoked since"])
    world.put("store/a", pem="x")
    world.kv.delete_latest_version_of_secret(f"{world.root}/store/a")
    entries = (
        _entry(world, "revoked", LONG_AGO, kids=[]),
        _entry(world, "store/a", pem="x"),
        _entry(world, "keys", value="k"),
    )
    outcome = await _restore(world, *entries)
    assert [row.standing for row in outcome.rows] == ["newer", "deleted", "missing"]
    assert (outcome.is_held_back, outcome.written) == (True, 0)
    assert not any(row.is_written for row in outcome.rows)
    assert world.get("revoked") == {"kids": ["revoked since"]}
    outcome = await _restore(world, *entries, overwriting=Overwriting.MISSING_ONLY)
    assert (outcome.is_held_back, outcome.written) == (False, 1)
    assert world.get("keys") == {"value": "k"}
    assert world.get("revoked") == {"kids": ["revoked since"]}
    outcome = await _restore(world, *entries, overwriting=Overwriting.ALL)
    assert (outcome.is_held_back, outcome.written) == (False, 2)
    assert world.get("revoked") == {"kids": []}
    assert world.get("store/a") == {"pem": "x"}


async def test_a_dry_run_says_the_same_and_writes_nothing(world: KvWorld) -> None:
    entry = _entry(world, "keys", value="k")
    outcome = await _restore(world, entry, dry_run=True)
    assert _standings(outcome) == [(Standing.MISSING, True)]
    assert outcome.written == 0
    assert _standings(await _restore(world, entry)) == [(Standing.MISSING, True)]


@pytest.mark.parametrize("overwriting", Overwriting)
async def test_an_entry_that_the_settings_do_not_name_is_never_written(
    world: KvWorld, overwriting: Overwriting
) -> None:
    foreign = [
        _entry(world, "elsewhere", value="x"),
        _entry(world, "keys/below", value="x"),
        StoredEntry("kv", f"{world.root}/keys", 1, LATER, {}),
    ]
    outcome = await _restore(world, *foreign, overwriting=overwriting)
    assert _standings(outcome) == [(Standing.FOREIGN, False)] * 3
    assert outcome.written == 0


async def test_nothing_is_written_before_the_archive_was_read_to_its_end(world: KvWorld) -> None:
    class Altered(Archive):
        async def entries(self) -> Iterable[StoredEntry]:
            def broken() -> Iterable[StoredEntry]:
                yield _entry(world, "keys", value="x")
                raise ValueError("altered")

            return broken()

    with world.client("restore") as vault, pytest.raises(ValueError, match="altered"):
        await restore_archive(vault, Altered(), world.places, Overwriting.ALL, dry_run=False)
    with world.client("restore") as vault:
        assert await vault.read_kv_latest("secret", f"{world.root}/keys") == (None, 0)


async def _row(world: KvWorld, vault: VaultClient, entry: StoredEntry) -> RestoreRow:
    return await compare(vault, entry, world.places, Overwriting.NOT_NEWER)


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_writes_between_the_look_and_the_write_keeps_it(
    world: KvWorld, is_there: bool
) -> None:
    if is_there:
        world.put("keys", value="before")
    entry = _entry(world, "keys", value="archived")
    with world.client("restore") as vault:
        row = await _row(world, vault, entry)
        world.put("keys", value="theirs")
        with pytest.raises(VaultConflict):
            await restore_entry(vault, entry, row)
    assert world.get("keys") == {"value": "theirs"}
