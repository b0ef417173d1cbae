"""Writing to Vault KV v2 so that of several who write at once one wins (check-and-set)."""

from collections.abc import Mapping
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


async def write_if_unchanged(
    vault: VaultClient, mount: str, path: str, data: Mapping[str, Any], version: int
) -> int:
    """Write an entry that is still at ``version`` (0: not there); returns its new version.

    Raises ``VaultRejected`` when somebody else has written meanwhile.
    """

    def write(client: Any) -> int:
        answer = client.secrets.kv.v2.create_or_update_secret(
            path, dict(data), cas=version, mount_point=mount
        )
        return int(answer["data"]["version"])

    return await vault.perform("kv_write", f"{mount}/data/{path}", write)
