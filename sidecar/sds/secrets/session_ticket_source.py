"""Session-ticket keys in Vault KV: the sidecar that wins the check-and-set makes the next."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sidecar.common.clock import Now
from sidecar.config.secrets import SessionTicketKeys
from sidecar.sds.secrets.session_tickets import KEY_BYTES, TicketRing, read_ring
from sidecar.sds.secrets.source import VersionedValue
from sidecar.vault.errors import VaultConflict, VaultNotFound
from sidecar.vault.ports import KvReader

_LEAD_POLLS = 2.5
"""A key is stored for this many polls before it encrypts."""
_MIN_PAUSE_SECONDS = 0.05


class TicketKv(KvReader, Protocol):
    """What is asked of Vault; ``sidecar.vault.client.VaultClient`` implements it."""

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write if ``cas`` is the latest version; return the new one. Raises ``VaultConflict``."""


def make_key() -> bytes:
    """Make a key."""
    return secrets.token_bytes(KEY_BYTES)


class TicketSource:
    """The keys of one configured name."""

    kind = "session_ticket_keys"

    def __init__(
        self,
        settings: SessionTicketKeys,
        vault: TicketKv,
        now: Now,
        make: Callable[[], bytes] = make_key,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._vault = vault
        self._now = now
        self._make = make

    async def fetch(self) -> VersionedValue[tuple[bytes, ...]]:
        """Return the keys, the encrypting one first; make the next one when it is due."""
        ring, version = await self._read()
        fresh = self._successor(ring)
        if fresh is not None:
            ring, version = await self._write(fresh, version)
        now = self._now()
        current = ring.current(now)
        pause = self._settings.poll_seconds
        if (change := ring.next_change(now)) is not None:
            pause = max(_MIN_PAUSE_SECONDS, min(pause, change - now))
        # The entry's version, and the key that encrypts, which changes with time alone.
        # An entry that was removed and created again counts from one; its times differ.
        label = f"{version}.{current.serial}.{current.encrypts_from:.0f}" if current else "0"
        return VersionedValue(ring.served(now), label, pause)

    def _successor(self, ring: TicketRing) -> TicketRing | None:
        return ring.successor(
            self._now(),
            rotate_seconds=self._settings.rotate_seconds,
            lead_seconds=self._settings.poll_seconds * _LEAD_POLLS,
            fresh=self._make(),
        )

    async def _read(self) -> tuple[TicketRing, int]:
        mount, path = self._settings.mount, self._settings.path
        try:
            secret = await self._vault.read_kv(mount, path)
        except VaultNotFound:
            return TicketRing(), 0
        return read_ring(secret.data, f"{mount}/{path}"), secret.version

    async def _write(self, ring: TicketRing, version: int) -> tuple[TicketRing, int]:
        """Write the ring; if another sidecar wrote first, return its ring."""
        mount, path = self._settings.mount, self._settings.path
        try:
            written = await self._vault.write_kv(mount, path, ring.to_entry(), version)
        except VaultConflict:
            theirs, found = await self._read()
            if found == version or not theirs.keys:
                raise
            return theirs, found
        return ring, written
