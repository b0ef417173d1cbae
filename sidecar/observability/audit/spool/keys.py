"""The data keys of the spool, which stand in memory only."""

import threading
from typing import NamedTuple, Protocol

from sidecar.observability.audit.spool.records import DATA_KEY_BYTES, KeyReference


class DataKey(NamedTuple):
    """A key for new segments, and what is written of it."""

    secret: bytes
    reference: KeyReference


class SpoolKeyStore(Protocol):
    """Who has the keys. Both wait, and raise ``OSError`` where a key can't be had now."""

    def new(self) -> DataKey:
        """Return the key for what is written from now on."""

    def open(self, reference: KeyReference) -> bytes:
        """Return the key that a segment names."""


class SpoolKeys:
    """Remembers the keys of a store: one question for each, however many segments it seals."""

    def __init__(self, store: SpoolKeyStore) -> None:
        self._store = store
        self._known: dict[KeyReference, bytes] = {}
        self._lock = threading.Lock()

    def new(self) -> DataKey:
        """Return the key for what is written from now on. Raises ``OSError``."""
        key = self._store.new()
        if len(key.secret) != DATA_KEY_BYTES:
            raise OSError(0, f"the key of the spool must have {DATA_KEY_BYTES} bytes")
        with self._lock:
            self._known[key.reference] = key.secret
        return key

    def open(self, reference: KeyReference) -> bytes:
        """Return the key that a segment names. Raises ``OSError``."""
        with self._lock:
            known = self._known.get(reference)
        if known is None:
            known = self._store.open(reference)
            if len(known) != DATA_KEY_BYTES:
                raise OSError(0, f"the key of the spool must have {DATA_KEY_BYTES} bytes")
            with self._lock:
                self._known[reference] = known
        return known
