"""The data key of the spool from Vault: wrapped by transit, or an entry of KV.

The spool asks from its threads; Vault is asked on the event loop. Until the client is there, and
while Vault can't be asked, the questions fail and are asked again.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol, TypeVar

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.observability.audit.spool.keys import DataKey
from sidecar.observability.audit.spool.records import KeyReference

_PATIENCE_SECONDS = 60.0

T = TypeVar("T")


class SpoolKeyVault(Protocol):
    """What is asked of Vault; ``VaultClient`` answers it."""

    async def read_kv(self, mount: str, path: str) -> Any:
        """Return the latest version of an entry: ``data`` by field, and ``version``."""

    async def read_kv_at(self, mount: str, path: str, version: int) -> Any:
        """Return one version of an entry."""

    async def new_data_key(self, mount: str, name: str) -> tuple[str, str]:
        """Return a new key of 256 bits, in base64, and the same wrapped by a key of transit."""

    async def open_data_key(self, mount: str, name: str, wrapped: str) -> str:
        """Return the key that was wrapped, in base64."""


class VaultKeyStore:
    """The ``SpoolKeyStore`` of the settings."""

    def __init__(self, settings: model.TransitSpoolKey | model.KvSpoolKey) -> None:
        self._settings = settings
        self._vault: SpoolKeyVault | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, vault: SpoolKeyVault, loop: asyncio.AbstractEventLoop) -> None:
        """Ask this client, on this loop."""
        self._loop, self._vault = loop, vault

    def new(self) -> DataKey:
        """Return the key for what is written from now on. Raises ``OSError``."""
        match self._settings:
            case model.TransitSpoolKey(mount=mount, name=name):
                plain, wrapped = self._ask(lambda vault: vault.new_data_key(mount, name))
                return DataKey(_decoded(plain), KeyReference(wrapped=wrapped))
            case model.KvSpoolKey(mount=mount, path=path):
                entry = self._ask(lambda vault: vault.read_kv(mount, path))
                return DataKey(self._key_of(entry), KeyReference(version=entry.version))

    def open(self, reference: KeyReference) -> bytes:
        """Return the key that a segment names. Raises ``OSError``."""
        match self._settings:
            case model.TransitSpoolKey(mount=mount, name=name):
                wrapped = reference.wrapped
                if not wrapped:
                    raise OSError(0, "a segment of the spool has a key of Vault KV, not of transit")
                return _decoded(self._ask(lambda vault: vault.open_data_key(mount, name, wrapped)))
            case model.KvSpoolKey(mount=mount, path=path):
                version = reference.version
                if not version:
                    raise OSError(0, "a segment of the spool has a key of transit, not of Vault KV")
                return self._key_of(self._ask(lambda vault: vault.read_kv_at(mount, path, version)))

    def _key_of(self, entry: Any) -> bytes:
        assert isinstance(self._settings, model.KvSpoolKey)  # noqa: S101 - only then there is one
        value = entry.data.get(self._settings.field)
        return _decoded(value if isinstance(value, str) else "")

    def _ask(self, question: Callable[[SpoolKeyVault], Coroutine[Any, Any, T]]) -> T:
        if self._vault is None or self._loop is None:
            raise OSError(0, "the key of the spool waits for the login to Vault")
        question_asked = question(self._vault)
        try:
            asked = asyncio.run_coroutine_threadsafe(question_asked, self._loop)
        except RuntimeError:  # the loop is closed
            question_asked.close()
            raise OSError(0, "the key of the spool can't be had: the sidecar stops") from None
        try:
            return asked.result(_PATIENCE_SECONDS)
        except Fault as fault:
            raise OSError(0, f"the key of the spool can't be had: {fault}") from None
        except (FutureTimeoutError, CancelledError):
            asked.cancel()
            raise OSError(0, "the key of the spool can't be had: Vault does not answer") from None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise OSError(0, "the key of the spool must be 32 bytes in base64") from None
