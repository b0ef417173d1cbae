"""The list of revocations in Vault KV v2."""

from sidecar.config import model
from sidecar.keys.sources import VaultReader
from sidecar.tokens.revocation import RevocationEntry, RevocationFault, read_revocations
from sidecar.vault.errors import VaultNotFound


class KvRevocationSource:
    """One entry of Vault KV v2. One that is not there revokes nothing."""

    def __init__(self, settings: model.Revocations, vault: VaultReader) -> None:
        self._settings = settings
        self._vault = vault
        self.name = f"Vault entry {settings.mount}/{settings.path}"

    async def fetch(self) -> RevocationEntry:
        """Read the list; raises ``Fault`` naming the entry."""
        try:
            secret = await self._vault.read_kv(self._settings.mount, self._settings.path)
        except VaultNotFound:
            return RevocationEntry()
        try:
            return read_revocations(secret.data)
        except RevocationFault as fault:
            raise RevocationFault(f"{self.name}: {fault}") from None
