"""A secret in a file that somebody rotates: a Vault agent, a CSI driver, systemd's credentials."""

import contextlib
import logging
import threading
from pathlib import Path

from workload.secrets.errors import SecretsFault
from workload.secrets.secret import Secret
from workload.vault.http import fingerprint

MAX_BYTES = 65_536
_log = logging.getLogger("workload.secrets")


class SecretFile:
    """The content of a file as it is now, without the line end behind it. For any thread.

    Each look costs one ``stat``; the file is read when it is another one, or was written. A file
    that can't be read leaves the last content in force, and is logged once; the first reading
    raises. A writer must replace the file whole (rename), as agents and CSI drivers do.
    """

    def __init__(self, path: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._seen = fingerprint(self._path)
        self._complained = False
        self._held = self._read()

    @property
    def current(self) -> Secret:
        """The content."""
        seen = fingerprint(self._path)
        if seen == self._seen and seen is not None:
            return self._held
        with self._lock:
            try:
                self._held = self._read()
            except SecretsFault as fault:
                if not self._complained:
                    _log.error("%s; what was read before stays in force", fault)
                self._complained = True
            else:
                self._seen, self._complained = seen, False
        return self._held

    def _read(self) -> Secret:
        try:
            with self._path.open("rb") as file:
                raw = file.read(self._max_bytes + 1)
        except OSError as exc:
            raise SecretsFault(f"{self._path} can't be read: {exc.strerror}") from None
        if len(raw) > self._max_bytes:
            raise SecretsFault(f"{self._path} has more than {self._max_bytes} bytes")
        text = ""
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode().removesuffix("\n").removesuffix("\r")
        if not text:
            raise SecretsFault(f"{self._path} is empty, or no UTF-8")
        return Secret(text, str(self._path))
