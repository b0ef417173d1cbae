"""Polls one issuer's table of tenants, an entry of Vault KV.

Whatever happens to the entry (Vault away for an hour or a week, an entry that was deleted, a word
that means no tenant id), the table that was read before stays in force as a whole.
"""

import asyncio
import logging
from collections.abc import Callable

from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.tenant_tables import TenantTable, TenantTableFault, read_tenant_table
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.newest import NewestVersion
from sidecar.vault.ports import KvReader

_log = logging.getLogger("sidecar.keys")


class TenantTablePoller:
    """The entry, the table it holds, and the loop that reads it. ``publish`` hears of changes."""

    def __init__(
        self,
        source: TableSource,
        vault: KvReader,
        *,
        poll_seconds: float,
        jitter: Callable[[], float],
        publish: Callable[[], None],
    ) -> None:
        self.source = source
        self._vault = vault
        self._publish = publish
        self._poll_seconds = poll_seconds
        pace = PollPace(lambda: self._poll_seconds, jitter)
        self._loop = PollLoop(self._read, lambda: pace.pause_seconds(self.status))
        self.name = f"Vault entry {source.mount}/{source.path}"
        self.status = PollStatus(
            f"tenants/{source.issuer}",
            f"the tenants of {source.issuer} in {self.name}",
            _log,
            kept="the table read before stays in force",
        )
        self._newest = NewestVersion()
        self.table: TenantTable = {}
        self._is_published = False

    async def load(self) -> None:
        """Read the entry for the first time. Raises ``TenantTableFault`` if it can't be read."""
        await self.refresh()
        if self.status.problem:
            raise TenantTableFault(self.status.problem)

    async def refresh(self) -> None:
        """Read the entry now; what can't be read changes nothing."""
        await self._loop.refresh()

    def poll_every(self, seconds: float) -> None:
        """Read so often from now on; a longer pause that has begun already ends."""
        if seconds != self._poll_seconds:
            self._poll_seconds = seconds
            self._loop.refresh_soon()

    async def run(self) -> None:
        """Read until cancelled."""
        await self._loop.run()

    async def _read(self) -> None:
        with self.status.poll():
            table = await self._fetch()
            if table != self.table:
                self.table, self._is_published = table, False
            if not self._is_published:  # where that fails, the next read does it
                self._publish()
                self._is_published = True

    async def _fetch(self) -> TenantTable:
        try:
            secret = await self._vault.read_kv(self.source.mount, self.source.path)
        except VaultNotFound:
            raise TenantTableFault(
                f"{self.name} is not there; write it with a field for each word of "
                f"{self.source.issuer}, whose value is our tenant id (none for no tenant)"
            ) from None
        self._newest.take(self.name, secret.version, secret.written_at)
        try:
            # A large entry takes a hundredth of a second to check: Checks are answered meanwhile.
            return await asyncio.to_thread(read_tenant_table, secret.data)
        except TenantTableFault as fault:
            raise TenantTableFault(f"{self.name}: {fault}") from None
