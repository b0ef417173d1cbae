"""Reads the entries of a configuration's places from Vault, the newest version of each.

Older versions are not read: what a key was replaced for must not come back with a restore.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.ports import KvLatestReader, KvLister
from sidecar.vault_backup.entries import EntryRules, StoredEntry
from sidecar.vault_backup.places import KvPlace

MAX_ENTRIES = 1_000_000
MAX_DEPTH = 16
T = TypeVar("T")


class EntryVault(KvLatestReader, KvLister, Protocol):
    """The calls to Vault; ``VaultClient`` answers them."""

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        """Run a function with hvac's client."""


class BackupRow(NamedTuple):
    """An entry that was read, or a place where nothing is or all is deleted."""

    name: str
    version: int | None
    settings: tuple[str, ...]


async def back_up(
    vault: EntryVault, places: Iterable[KvPlace], add: Callable[[StoredEntry], None]
) -> list[BackupRow]:
    """Hand every entry to ``add`` once, place by place; return what there is. Raises ``Fault``."""
    seen: set[tuple[str, str]] = set()
    rows: list[BackupRow] = []
    for place in places:
        is_empty = True
        async for path in _paths(vault, place):
            if (place.mount, path) in seen:
                is_empty = False
                continue
            if len(seen) >= MAX_ENTRIES:
                raise Fault(f"the settings have more than {MAX_ENTRIES} entries in Vault")
            seen.add((place.mount, path))
            entry = await read_entry(vault, place.mount, path)
            if entry is not None:
                is_empty = False
                add(entry)
                rows.append(BackupRow(entry.name, entry.version, place.settings))
        if is_empty:
            rows.append(BackupRow(place.name, None, place.settings))
    return rows


async def read_entry(vault: EntryVault, mount: str, path: str) -> StoredEntry | None:
    """Return the newest version of an entry with its rules; ``None`` if there is none."""
    secret, _ = await vault.read_kv_latest(mount, path)
    if secret is None:
        return None
    try:
        rules = await vault.perform(
            "kv_metadata",
            f"{mount}/metadata/{path}",
            lambda client: _rules(client.secrets.kv.v2.read_secret_metadata(path, mount)["data"]),
        )
    except VaultNotFound:  # deleted between the two calls
        return None
    try:
        return StoredEntry(mount, path, secret.version, secret.written_at, dict(secret.data), rules)
    except ValueError:
        raise Fault(f"{mount}/{path!r} has a name that no archive takes: rename it") from None


async def _paths(vault: EntryVault, place: KvPlace) -> AsyncIterator[str]:
    if not place.is_folder:
        yield place.path
        return
    folders = [(place.path, 1)]
    while folders:
        folder, depth = folders.pop()
        if depth > MAX_DEPTH:
            raise Fault(f"{place.name} has folders more than {MAX_DEPTH} deep")
        for name in await vault.list_kv(place.mount, folder):
            if name.endswith("/"):
                folders.append((f"{folder}/{name[:-1]}", depth + 1))
            else:
                yield f"{folder}/{name}"


def _rules(data: Mapping[str, Any]) -> EntryRules:
    return EntryRules(
        int(data["max_versions"]),
        bool(data["cas_required"]),
        str(data["delete_version_after"]),
        {str(name): str(value) for name, value in (data["custom_metadata"] or {}).items()},
    )
