"""A generic secret: one field of an entry in Vault KV."""

from sidecar.config.secrets import GenericSecret
from sidecar.sds.secrets.source import SecretFault, VersionedValue
from sidecar.vault.ports import KvReader

MAX_SECRET_BYTES = 65_536


class GenericSource:
    """The value of one configured secret, for Envoy only."""

    kind = "generic_secret"

    def __init__(self, settings: GenericSecret, vault: KvReader) -> None:
        self.name = settings.name
        self._settings = settings
        self._vault = vault

    async def fetch(self) -> VersionedValue[bytes]:
        """Read the value. Its version is the entry's: a digest would reveal something of it."""
        settings = self._settings
        secret = await self._vault.read_kv(settings.mount, settings.path)
        value = secret.data.get(settings.field)
        where = f"{settings.mount}/{settings.path}, field {settings.field!r}"
        if not isinstance(value, str) or not value:
            raise SecretFault(f"generic secret {self.name!r}: {where} is no text")
        raw = value.encode()
        if len(raw) > MAX_SECRET_BYTES:
            raise SecretFault(f"generic secret {self.name!r}: {where} is over {MAX_SECRET_BYTES}")
        return VersionedValue(raw, str(secret.version), settings.poll_seconds)
