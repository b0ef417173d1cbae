"""Writes a version of an entry in KV v2, if nobody else has written since it was read."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from hvac import exceptions

from sidecar.vault.errors import VaultConflict

T = TypeVar("T")


class KvPerformer(Protocol):
    """Runs calls of hvac; ``VaultClient`` does."""

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        """Run a function with hvac's client."""


async def write_version(
    vault: KvPerformer, mount: str, path: str, data: Mapping[str, Any], cas: int
) -> int:
    """Write an entry if ``cas`` is still its latest version (0: there is none); return the new one.

    Its earlier versions stay. Raises ``VaultConflict`` if another client wrote first.
    """

    def write(client: Any) -> int:
        try:
            answer = client.secrets.kv.v2.create_or_update_secret(
                path, dict(data), cas=cas, mount_point=mount
            )
        except exceptions.InvalidRequest as exc:
            if "check-and-set" in str(exc):
                raise VaultConflict(f"{mount}/data/{path}: another client wrote first") from None
            raise
        return int(answer["data"]["version"])

    return await vault.perform("kv_write", f"{mount}/data/{path}", write)
