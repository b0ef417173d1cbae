"""Compares the entries of an archive with what Vault has, and writes those that may be written.

An entry that Vault has in a newer version, or that was deleted there, is written only on
request: a revocation, a rotation or a deletion that came after the backup would be undone.
"""

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from sidecar.vault.kv_write import write_version
from sidecar.vault.ports import KvLatestReader
from sidecar.vault_backup.entries import EntryRules, StoredEntry
from sidecar.vault_backup.places import KvPlace

T = TypeVar("T")


class RestoreVault(KvLatestReader, Protocol):
    """The calls to Vault; ``VaultClient`` answers them."""

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        """Run a function with hvac's client."""


class Standing(enum.StrEnum):
    """What Vault has where an entry of the archive belongs."""

    MISSING = "missing"
    SAME = "same"
    OLDER = "older"
    NEWER = "newer"
    DELETED = "deleted"
    FOREIGN = "not in the settings"


class Overwriting(enum.Enum):
    """Which of those are written."""

    MISSING_ONLY = frozenset({Standing.MISSING})
    NOT_NEWER = frozenset({Standing.MISSING, Standing.OLDER})
    ALL = frozenset({Standing.MISSING, Standing.OLDER, Standing.NEWER, Standing.DELETED})


class RestoreRow(NamedTuple):
    """What becomes of one entry."""

    name: str
    version: int
    """Its version in the archive."""
    standing: Standing
    there: int
    """The version that Vault has, 0 for none; what is written takes its place and no other's."""
    is_written: bool

    @property
    def holds_back(self) -> bool:
        """Tell whether the operator has to decide about it."""
        return not self.is_written and self.standing in {Standing.NEWER, Standing.DELETED}


class RestoreOutcome(NamedTuple):
    """What became of an archive."""

    rows: tuple[RestoreRow, ...]
    is_held_back: bool
    """Whether nothing was written, for the operator has to decide first."""
    written: int


class ReadableArchive(Protocol):
    """An archive that can be read twice."""

    async def entries(self) -> Iterable[StoredEntry]:
        """Return the entries, from the first one on."""


async def restore_archive(
    vault: RestoreVault,
    archive: ReadableArchive,
    places: tuple[KvPlace, ...],
    overwriting: Overwriting,
    *,
    dry_run: bool,
) -> RestoreOutcome:
    """Compare every entry of an archive, and then write what may be written.

    Nothing is written before the archive was read to its authentic end. Raises ``Fault``; what
    was written until then is the same as in the archive, so it can be done again.
    """
    rows = tuple(
        [await compare(vault, each, places, overwriting) for each in await archive.entries()]
    )
    is_held_back = overwriting is Overwriting.NOT_NEWER and any(row.holds_back for row in rows)
    if is_held_back or dry_run:
        rows = tuple(row._replace(is_written=row.is_written and not is_held_back) for row in rows)
        return RestoreOutcome(rows, is_held_back, 0)
    written = 0
    for entry, row in zip(await archive.entries(), rows, strict=True):
        if row.is_written:
            await restore_entry(vault, entry, row)
            written += 1
    return RestoreOutcome(rows, is_held_back, written)


async def compare(
    vault: RestoreVault, entry: StoredEntry, places: Iterable[KvPlace], overwriting: Overwriting
) -> RestoreRow:
    """Say what becomes of an entry. Raises ``VaultFault``.

    One that no place holds is never written: who makes archives would choose where the
    operator's token writes.
    """
    if not any(place.holds(entry.mount, entry.path) for place in places):
        return RestoreRow(entry.name, entry.version, Standing.FOREIGN, 0, is_written=False)
    secret, there = await vault.read_kv_latest(entry.mount, entry.path)
    standing = _standing(entry, secret, there)
    is_written = standing in overwriting.value
    return RestoreRow(entry.name, entry.version, standing, there, is_written)


async def restore_entry(vault: RestoreVault, entry: StoredEntry, row: RestoreRow) -> int:
    """Write an entry if Vault has still what was compared; return the new version.

    The rules of its versions are written where there was no entry. Raises ``VaultConflict`` if
    another client wrote first, and ``VaultFault``.
    """
    if row.standing is Standing.MISSING:
        path, rules = entry.path, entry.rules
        await vault.perform(
            "kv_metadata",
            f"{entry.mount}/metadata/{path}",
            lambda client: client.secrets.kv.v2.update_metadata(
                path, mount_point=entry.mount, **_metadata(rules)
            ),
        )
    return await write_version(vault, entry.mount, entry.path, entry.data, row.there)


def _standing(entry: StoredEntry, secret: Any, there: int) -> Standing:
    if secret is None:
        return Standing.DELETED if there else Standing.MISSING
    if _as_json(secret.data) == _as_json(entry.data):  # to Python, true is 1
        return Standing.SAME
    return Standing.NEWER if secret.written_at > entry.written_at else Standing.OLDER


def _as_json(data: Mapping[str, Any]) -> str:
    return json.dumps(dict(data), sort_keys=True)


def _metadata(rules: EntryRules) -> Mapping[str, Any]:
    return {
        "max_versions": rules.max_versions,
        "cas_required": rules.cas_required,
        "delete_version_after": rules.delete_version_after,
        "custom_metadata": rules.custom,
    }
