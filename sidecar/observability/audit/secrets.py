"""The credentials of sinks: read from a file each time, or from Vault on a task of their own."""

import logging
from pathlib import Path
from typing import Any, Protocol

from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.config import model

_MAX_BYTES = 4096
_log = logging.getLogger("sidecar.observability.audit")


class CredentialFault(Fault):
    """A credential can't be used."""


class VaultReader(Protocol):
    """What is asked of Vault; ``VaultClient`` answers it."""

    async def read_kv(self, mount: str, path: str) -> Any:
        """Return the latest version of an entry: ``data`` by field, and ``version``."""


class FileSecret:
    """A credential in a file, which may be replaced at any time."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def __call__(self) -> str:
        """Return it. Raises ``OSError``."""
        with self._path.open("rb") as file:
            return _checked(file.read(_MAX_BYTES + 1).decode("utf-8", "replace"), str(self._path))


class VaultSecret:
    """A credential in Vault KV, kept in memory between two reads."""

    def __init__(self, settings: model.SecretEntry, sink: str) -> None:
        self.settings = settings
        self._where = f"{settings.mount}/{settings.path}"
        self._value = ""
        self.status = PollStatus(
            f"audit_{sink}_secret",
            f"the credential of the audit sink {sink}",
            _log,
            kept="the one that was read before stays in use",
        )

    def __call__(self) -> str:
        """Return it. Raises ``OSError`` until it was read."""
        if not self._value:
            raise OSError(0, f"the entry {self._where} has not been read from Vault yet")
        return self._value

    async def read(self, vault: VaultReader) -> None:
        """Read it. Raises ``VaultFault`` and ``CredentialFault``."""
        entry = await vault.read_kv(self.settings.mount, self.settings.path)
        value = entry.data.get(self.settings.field)
        if not isinstance(value, str):
            raise CredentialFault(f"{self._where} has no text in the field {self.settings.field}")
        try:
            self._value = _checked(value, self._where)
        except OSError as exc:
            raise CredentialFault(str(exc.strerror)) from None


def _checked(value: str, where: str) -> str:
    """Return a credential without the line end after it, if it can be sent in a header."""
    value = value.rstrip("\r\n")
    if not value or len(value) > _MAX_BYTES or not value.isprintable() or not value.isascii():
        raise OSError(0, f"{where} must hold one line of 1 to {_MAX_BYTES} ASCII characters")
    return value
