"""What an entry of Vault KV v2 remembers of itself."""

from typing import Any

from sidecar.vault.client import VaultClient


async def keep_one_version(vault: VaultClient, mount: str, path: str) -> None:
    """Have Vault keep no older version of an entry: what was rotated away shall be gone.

    Makes the entry's metadata if there is none. Needs ``create`` and ``update`` on
    ``<mount>/metadata/<path>``. Raises ``VaultFault``.
    """

    def update(client: Any) -> None:
        client.secrets.kv.v2.update_metadata(path, max_versions=1, mount_point=mount)

    await vault.perform("kv_metadata", f"{mount}/metadata/{path}", update)
