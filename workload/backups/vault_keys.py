"""A transit key by the library's own client of Vault."""

from workload.backups.errors import KeyRefused
from workload.vault.errors import VaultInvalid
from workload.vault.transit import Transit


class TransitWrapping:
    """One key of a transit mount; a ``KeyWrapping``. Raises ``VaultCallFault`` too."""

    def __init__(self, transit: Transit, key: str) -> None:
        self._transit = transit
        self._key = key

    async def new(self) -> tuple[bytearray, str]:
        """Return a new key of 256 bits, and the same wrapped."""
        try:
            return await self._transit.new_unbound_data_key(self._key)
        except VaultInvalid as fault:
            raise KeyRefused(str(fault)) from None

    async def unwrap(self, wrapped: str) -> bytearray:
        """Return the key that was wrapped."""
        try:
            return await self._transit.unwrap(self._key, wrapped, b"")
        except VaultInvalid as fault:
            raise KeyRefused(str(fault)) from None

    async def rewrap(self, wrapped: str) -> str:
        """Return a wrapped key, wrapped by the newest version."""
        try:
            return await self._transit.rewrap(self._key, wrapped, b"")
        except VaultInvalid as fault:
            raise KeyRefused(str(fault)) from None
