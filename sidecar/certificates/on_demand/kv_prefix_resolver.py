"""Entries below a prefix of Vault KV, named like their domains, read when they are asked for."""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from sidecar.certificates.on_demand.domains import (
    Registration,
    RegistryFault,
    patterns_above,
    read_registration,
)
from sidecar.certificates.on_demand.resolved_registry import Patterns
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import ChangePoll, PollLoop, PollStatus
from sidecar.config.on_demand import VaultKvPrefixRegistry
from sidecar.vault.errors import VaultForbidden, VaultNotFound, VaultRejected
from sidecar.vault.history import KvHistory
from sidecar.vault.ports import KvHistoryLister, KvLister, KvReader
from workload.x509.wildcards import wildcard_of

MAX_LISTED_WITH_VERSIONS = 15_000
"""Entries below the prefix, of some 430 bytes each in that list: an answer may have 8 MiB."""
_LISTED_PER_READ = 4
"""Entries in a list of versions for each that was read, at most: for fewer it is too long."""
_log = logging.getLogger("sidecar.domains")


async def _nothing() -> None:
    """Do nothing on a change."""


class PrefixReader(KvLister, KvHistoryLister, KvReader, Protocol):
    """What is asked of Vault."""


class KvPrefixResolver:
    """Entries below a prefix of Vault KV, named like their domains.

    The names are listed at an interval, so that an unknown name is refused from memory; an
    entry is read when its domain is asked for.
    """

    def __init__(
        self,
        settings: VaultKvPrefixRegistry,
        vault: PrefixReader,
        *,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        on_change: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._mount, self._prefix = settings.mount, settings.prefix
        self._vault = vault
        self.on_change = on_change
        """Called when the list of names has changed."""
        self._listed: frozenset[str] = frozenset()
        self._read: dict[str, tuple[int, float]] = {}
        """The version of each entry that was read, and when that was written."""
        self.name = f"Vault entries below {settings.mount}/{settings.prefix}"
        self.status = PollStatus(
            "domains",
            f"domain registry {self.name}",
            _log,
            kept="the names known before stay in force",
        )
        poll = ChangePoll(self.status, self._list, self._changed)
        pace = PollPace(lambda: settings.poll_seconds, jitter)
        self._loop = PollLoop(poll, lambda: pace.pause_seconds(self.status), sleep=sleep)

    def patterns(self, name: str) -> Patterns:
        """Return the matching domains that are listed."""
        own = (name, wildcard_of(name))
        there = [pattern for pattern in own if pattern in self._listed]
        above = (each for each in patterns_above(name) if each not in own)
        return Patterns(there, [pattern for pattern in above if pattern in self._listed])

    async def look_up(self, pattern: str) -> Registration | None:
        """Read one entry. Raises ``Fault``."""
        self._read.pop(pattern, None)
        try:
            secret = await self._vault.read_kv(self._mount, f"{self._prefix}/{_key_of(pattern)}")
        except VaultNotFound:
            return None  # deleted since it was listed
        found = read_registration(dict(secret.data), pattern)
        if found.domain != pattern:
            raise RegistryFault(f"the entry of {pattern} is for another domain")
        if pattern in self._listed:
            self._read[pattern] = (secret.version, secret.written_at)
        return found

    async def unchanged(self) -> list[str]:
        """Return the domains whose entries have the version that was read, in one call.

        None where that would be a longer answer than reading them, or too long a one, or where
        this Vault or our policy has no list of versions: then each entry is read.
        """
        is_worth_it = len(self._read) * _LISTED_PER_READ >= len(self._listed)
        if not is_worth_it or len(self._listed) > MAX_LISTED_WITH_VERSIONS:
            return []
        try:
            listed = await self._vault.list_kv_histories(self._mount, self._prefix)
        except (VaultForbidden, VaultRejected):
            return []
        now_there = {pattern: (listed or {}).get(_key_of(pattern)) for pattern in self._read}
        return [each for each, history in now_there.items() if self._is_as_read(each, history)]

    def _is_as_read(self, pattern: str, history: KvHistory | None) -> bool:
        latest = history.latest if history is not None else None
        if latest is None or latest.is_destroyed or latest.deleted_at is not None:
            return False
        return self._read[pattern] == (latest.number, latest.written_at)

    def lists(self, pattern: str) -> bool:
        """Tell whether there is an entry for a domain."""
        return pattern in self._listed

    async def start(self) -> None:
        """List the names. Raises ``VaultFault``."""
        await self._list()

    async def run(self) -> None:
        """Poll the list, until cancelled."""
        await self._loop.run()

    async def refresh(self) -> None:
        """List the names now."""
        await self._loop.refresh()

    async def _changed(self) -> None:
        await self.on_change()  # looked up late: ``component`` sets it once both parts are made

    async def _list(self) -> bool:
        before = self._listed
        keys = await self._vault.list_kv(self._mount, self._prefix)
        self._listed = frozenset(
            f"*.{key.removeprefix('_wildcard.')}" if key.startswith("_wildcard.") else key
            for key in keys
        )
        self._read = {each: mark for each, mark in self._read.items() if each in self._listed}
        return self._listed != before


def _key_of(pattern: str) -> str:
    """Return the name of a domain's entry."""
    return f"_wildcard.{pattern[2:]}" if pattern.startswith("*.") else pattern
