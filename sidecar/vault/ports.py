"""What the components ask of Vault's KV v2: each question once, to be combined.

``sidecar.vault.client.VaultClient`` answers them all. A component's parameter names those it
asks, so that its tests need to answer no more. Each raises ``VaultFault``, and
``VaultNotFound`` where nothing is said of what is returned then.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sidecar.vault.history import KvHistory


class KvReader(Protocol):
    """Reads entries."""

    async def read_kv(self, mount: str, path: str) -> Any:
        """Return the latest version: ``data`` by field, ``version``, ``written_at``.

        ``written_at`` is by Vault's clock (Unix seconds).
        """


class KvLatestReader(Protocol):
    """Reads entries that are to be overwritten."""

    async def read_kv_latest(self, mount: str, path: str) -> tuple[Any, int]:
        """Return an entry, as ``read_kv`` does, and the version to overwrite, in one call.

        The entry is ``None`` if there is none or it is deleted; a deleted one keeps its number.
        """


class KvVersionReader(Protocol):
    """Reads how often an entry was written."""

    async def read_kv_version(self, mount: str, path: str) -> int:
        """Return the number of the latest version, deleted or not; 0 where there is none."""


class KvHistoryReader(Protocol):
    """Reads what an entry's metadata says of its versions."""

    async def read_kv_history(self, mount: str, path: str) -> KvHistory:
        """Return which versions there are."""


class KvHistoryLister(Protocol):
    """Lists entries with what their metadata says."""

    async def list_kv_histories(
        self, mount: str, path: str
    ) -> Mapping[str, KvHistory | None] | None:
        """Return the versions of all entries directly below a path, in one call.

        ``None`` where this Vault has no such list: HashiCorp's has none, OpenBao's does.
        """


class KvLister(Protocol):
    """Lists entries."""

    async def list_kv(self, mount: str, path: str) -> list[str]:
        """Return the names directly below a path; none if there is nothing."""
