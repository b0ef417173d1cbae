"""The keys of pseudonyms in Vault KV: read, made at the first start, and one of them deleted.

Vault keeps one version of each entry, so what was overwritten is gone (``vault.versions``).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from sidecar.audit_trail.key_entries import (
    KeyEntryFault,
    MainEntry,
    days_data,
    join,
    main_data,
    read_days,
    read_main,
    read_shard,
    shard_data,
    shard_of,
)
from sidecar.observability.audit.day_keys import DAY_SECONDS, DayKeys
from sidecar.observability.audit.key_forest import KeyForest, Node
from sidecar.observability.audit.pseudonyms import PseudonymKeys
from sidecar.vault.errors import VaultConflict, VaultFault, VaultForbidden, VaultStale
from sidecar.vault.kv_write import KvPerformer, write_version

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2


class KeyVault(KvPerformer, Protocol):
    """The calls to Vault; ``VaultClient`` answers them."""

    async def read_kv_latest(self, mount: str, path: str) -> tuple[Any, int]:
        """Return an entry and the version to overwrite."""

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write an entry, of which no older version is kept."""

    async def read_time(self) -> float:
        """Return Vault's clock."""


class KeyPlace(NamedTuple):
    """Where the keys are."""

    mount: str
    path: str

    @property
    def name(self) -> str:
        """It, for messages."""
        return f"Vault entry {self.mount}/{self.path}"


class KeyStore:
    """Reads and writes the entries. Raises ``VaultFault`` and ``KeyEntryFault``."""

    def __init__(self, vault: KeyVault, place: KeyPlace, *, address_days: int) -> None:
        self._vault = vault
        self._place = place
        self._address_days = address_days
        self._shards: dict[str, tuple[int, list[dict[Node, bytes]]]] = {}
        """What was read of each shard, and its version."""
        self.version = 0
        """The version of the main entry that was read last."""

    async def read(self) -> PseudonymKeys:
        """Return the keys; make them where there are none, and move the days on."""
        main, version = await self._main()
        forest = join(main, await self._read_shards(main))
        days = await self._days()
        self.version = version
        return PseudonymKeys(forest, days)

    async def read_only(self) -> PseudonymKeys:
        """Return the keys; change nothing, and raise a fault where there are none."""
        place = self._place
        secret, _ = await self._vault.read_kv_latest(place.mount, place.path)
        days, _ = await self._vault.read_kv_latest(place.mount, f"{place.path}/days")
        if secret is None or days is None:
            raise KeyEntryFault(f"{place.name} is not there: no sidecar has written pseudonyms yet")
        main = self._said(read_main, secret.data, "")
        forest = join(main, await self._read_shards(main))
        return PseudonymKeys(forest, self._said(read_days, days.data, "/days"))

    async def forget(self, tenant: str, subject: str) -> None:
        """Delete the key of a subject. Two at once both take place."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._forget_once(tenant, subject)
            except VaultConflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._shards.clear()
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _forget_once(self, tenant: str, subject: str) -> None:
        place = self._place
        secret, version = await self._vault.read_kv_latest(place.mount, place.path)
        if secret is None:
            raise KeyEntryFault(f"{place.name} is not there: there is nothing to delete")
        main = self._said(read_main, secret.data, "")
        position = KeyForest(main.index_key, ()).position(tenant, subject)
        shard = shard_of(position)
        shards = await self._read_shards(main)
        below, shard_version = await self._vault.read_kv_latest(
            place.mount, f"{place.path}/{shard}"
        )
        if shard in main.shards and below is not None:
            # May be newer than the main entry says, after a try that failed half-way. One that
            # the main entry does not name is ignored: every key of it is in the main entry.
            shards[shard] = self._said(read_shard, below.data, f"/{shard}")
        fewer = join(main, shards).without(position)
        # The shard first: until the main entry is written, nothing is missing.
        written = await self._vault.write_kv(
            place.mount, f"{place.path}/{shard}", shard_data(fewer, shard), shard_version
        )
        versions = {**main.shards, shard: written}
        await self._vault.write_kv(place.mount, place.path, main_data(fewer, versions), version)

    async def _main(self) -> tuple[MainEntry, int]:
        place = self._place
        refused: VaultFault = VaultConflict(f"{place.name}: other clients write and delete it")
        for _ in range(_ATTEMPTS):
            secret, version = await self._vault.read_kv_latest(place.mount, place.path)
            if secret is not None:
                return self._said(read_main, secret.data, ""), version
            if version:
                raise KeyEntryFault(
                    f"{place.name} was deleted; undelete it, or delete its metadata too, and all "
                    "lines until now are anonymous"
                )
            data = main_data(KeyForest.fresh(), {})
            try:
                # Not with ``write_kv``: whoever may set an entry's metadata may have it keep what
                # is deleted. The first deletion sets it.
                await write_version(self._vault, place.mount, place.path, data, 0)
            except (VaultConflict, VaultForbidden) as fault:
                # Another sidecar was first; then writing is no creating any more, and forbidden.
                refused = fault
                await asyncio.sleep(_PAUSE_SECONDS)
        raise refused

    async def _read_shards(self, main: MainEntry) -> dict[str, list[dict[Node, bytes]]]:
        for shard, version in main.shards.items():
            known = self._shards.get(shard)
            if known is None or known[0] != version:
                self._shards[shard] = await self._read_shard(shard, version)
        return {shard: self._shards[shard][1] for shard in main.shards}

    async def _read_shard(self, shard: str, version: int) -> tuple[int, list[dict[Node, bytes]]]:
        path = f"{self._place.path}/{shard}"
        secret, found = await self._vault.read_kv_latest(self._place.mount, path)
        if secret is None or found < version:
            raise VaultStale(
                f"{self._place.name}/{shard}: version {version} is not there yet: does a standby "
                "lag behind its leader?"
            )
        return found, self._said(read_shard, secret.data, f"/{shard}")

    async def _days(self) -> DayKeys:
        """Return the keys of days, and let Vault forget those that are too old."""
        place = self._place
        path = f"{place.path}/days"
        # By Vault's clock: a sidecar whose own is wrong would delete what others need.
        today = int(await self._vault.read_time() // DAY_SECONDS)
        oldest = today - self._address_days
        for _ in range(_ATTEMPTS):
            secret, version = await self._vault.read_kv_latest(place.mount, path)
            days: DayKeys | None = None
            if secret is not None:
                days = self._said(read_days, secret.data, "/days")
            if days is not None and days.day >= oldest:
                return days
            later = DayKeys.fresh(today) if days is None else days.since(oldest)
            try:
                await self._vault.write_kv(place.mount, path, days_data(later), version)
            except VaultConflict:
                continue
            return later
        raise VaultConflict(f"{place.name}/days: other clients write it")

    def _said(self, read: Any, data: Mapping[str, Any], below: str) -> Any:
        try:
            return read(data)
        except KeyEntryFault as fault:
            raise KeyEntryFault(f"{self._place.name}{below}: {fault}") from None
