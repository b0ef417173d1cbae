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
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.ports import KvLister, KvReader
from workload.x509.wildcards import wildcard_of

_log = logging.getLogger("sidecar.domains")


async def _nothing() -> None:
    """Do nothing on a change."""


class PrefixReader(KvLister, KvReader, Protocol):
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
        key = f"_wildcard.{pattern[2:]}" if pattern.startswith("*.") else pattern
        try:
            secret = await self._vault.read_kv(self._mount, f"{self._prefix}/{key}")
        except VaultNotFound:
            return None  # deleted since it was listed
        found = read_registration(dict(secret.data), pattern)
        if found.domain != pattern:
            raise RegistryFault(f"the entry of {pattern} is for another domain")
        return found

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
        return self._listed != before
