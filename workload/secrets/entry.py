"""An entry of Vault KV v2 that is read again and again, and held while Vault is away."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workload.backoff import Backoff, with_jitter
from workload.clock import Now
from workload.refresh import RefreshLoop
from workload.secrets.errors import SecretsAway, SecretsFault
from workload.secrets.secret import Secret
from workload.settings import KvEntry
from workload.vault.client import VaultApi

MIN_POLL_SECONDS = 1.0
_RETRY_FIRST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class EntryVersion:
    """One version of an entry. ``read_at`` is when Vault last confirmed it (monotonic seconds)."""

    where: str
    version: int
    fields: Mapping[str, Secret]
    read_at: float

    def __getitem__(self, name: str) -> Secret:
        """Return a field. Raises ``SecretsFault`` naming the fields that are there."""
        try:
            return self.fields[name]
        except KeyError:
            there = ", ".join(sorted(self.fields)) or "none"
            raise SecretsFault(
                f"{self.where} has no field {name!r} that is a text; those there: {there}"
            ) from None


async def read_entry(vault: VaultApi, entry: KvEntry, now: Now) -> EntryVersion:
    """Read the newest version of an entry. Raises ``Fault``."""
    path = f"{entry.mount}/data/{entry.path}"
    at = now()
    answer = (await vault.call("GET", path)).get("data")
    data, metadata = (_table(answer, name) for name in ("data", "metadata"))
    version = metadata.get("version")
    if not isinstance(version, int):
        raise SecretsFault(f"{path}: this is no entry of a KV engine of version 2")
    where = f"{entry.mount}/{entry.path}"
    fields = {
        name: Secret(value, f"{where}, field {name!r}")
        for name, value in data.items()
        if isinstance(value, str)
    }
    return EntryVersion(where, version, fields, at)


def _table(answer: object, name: str) -> Mapping[str, Any]:
    found = answer.get(name) if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}


class FollowedEntry(RefreshLoop):
    """An entry as it is now. ``current`` may be read from any thread.

    While Vault does not answer, or the entry is deleted, the last version stays for
    ``max_stale_seconds``; an error in the log says so. Then ``current`` raises ``SecretsAway``.
    """

    def __init__(
        self,
        vault: VaultApi,
        entry: KvEntry,
        now: Now,
        jitter: Callable[[], float],
        *,
        poll_seconds: float,
        max_stale_seconds: float,
    ) -> None:
        super().__init__(now, jitter)
        self.what = f"the secret {entry.mount}/{entry.path}"
        self._vault = vault
        self._entry = entry
        self._poll_seconds = max(poll_seconds, MIN_POLL_SECONDS)
        self._max_stale_seconds = max_stale_seconds
        self._retry = Backoff(_RETRY_FIRST_SECONDS, max(self._poll_seconds, _RETRY_FIRST_SECONDS))
        self._held: EntryVersion | None = None
        self._changed = asyncio.Event()

    @property
    def current(self) -> EntryVersion:
        """The newest version that is known. Raises ``SecretsAway``."""
        held = self._held
        if held is None or self.has_ended():
            raise SecretsAway(
                f"{self.what} was not confirmed by Vault for {self._max_stale_seconds:g} s"
            )
        return held

    def __getitem__(self, name: str) -> Secret:
        """Return a field of the newest version that is known."""
        return self.current[name]

    async def changed(self, since: EntryVersion) -> EntryVersion:
        """Wait until there is another version than ``since``, and return it."""
        while self._held is None or self._held.version == since.version:
            await self._changed.wait()
        return self._held

    async def load(self) -> None:
        """Read it once. Raises ``Fault``."""
        before, self._held = self._held, await read_entry(self._vault, self._entry, self._now)
        self.due = self._now() + with_jitter(self._poll_seconds, self._jitter())
        if before is None or before.version != self._held.version:
            self._changed.set()
            self._changed = asyncio.Event()

    def pause_after_failure(self) -> float:
        """Double, up to the poll."""
        return self._retry.pause_seconds(self.failures_in_a_row, self._jitter())

    def has_ended(self) -> bool:
        """Return whether what is held is too old."""
        held = self._held
        return held is None or self._now() - held.read_at > self._max_stale_seconds
