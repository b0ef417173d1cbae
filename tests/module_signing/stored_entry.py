"""The publishers' entry in Vault, for tests that need no server."""

from collections.abc import Mapping
from typing import Any

from sidecar.vault.client import KvSecret
from sidecar.vault.errors import VaultNotFound


class PublisherEntry:
    """An entry whose versions count up; ``None`` where there is none."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.version = 0

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        if self.data is None:
            raise VaultNotFound(f"{mount}/{path}")
        self.version += 1
        return KvSecret(self.data, self.version)
