"""One version of a data key in memory, and the keys that are derived from it.

A data key seals nothing itself. Each process draws a random *writer* of 128 bits and derives a
key of its own from it (HKDF-Expand with SHA-256, RFC 5869 section 2.3; a data key is random, so
nothing is to be extracted). What a process counts is then all that was ever sealed under that
key: nonces are random, and after 2^32 values (NIST SP 800-38D section 8.3) it draws another
writer. No process has to ask another one, and neither a fork nor a virtual machine that is
copied makes a nonce repeat. docs/decisions/0036 has the alternatives.
"""

import hmac
import itertools
import os
import threading
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workload.encryption.errors import FieldKeysAway
from workload.encryption.sealed import WRITER_BYTES, header_of

KEY_BYTES = 32
MAX_VALUES_PER_WRITER = 2**32
MAX_READERS = 256
"""Derived keys that are kept for reading, for each data key: of the writers seen last."""
_SEAL = b"septem field encryption 1: seal\x00"
_INDEX = b"septem field encryption 1: blind index\x00"
_forks = itertools.count(1)
_process = 0


def _in_child() -> None:
    global _process  # noqa: PLW0603 - one number, and nobody but a fork changes it
    _process = next(_forks)


os.register_at_fork(after_in_child=_in_child)


class _Writer(NamedTuple):
    header: bytes
    aead: AESGCM
    uses: "itertools.count[int]"
    process: int


class FieldKey:
    """A data key of 32 bytes, held in a ``bytearray`` that is wiped when it is not needed."""

    def __init__(
        self, version: int, material: bytearray, *, max_values: int = MAX_VALUES_PER_WRITER
    ) -> None:
        """Take the material over: it is this object's, and wiped with it."""
        if len(material) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        self.version = version
        self._material: bytearray | None = material
        self._max_values = max_values
        self._lock = threading.Lock()
        self._writer: _Writer | None = None
        self._readers: dict[bytes, AESGCM] = {}
        self._index_keys: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        """Show the version alone."""
        return f"FieldKey(version={self.version})"

    def __del__(self) -> None:
        """Leave no key in memory that Python hands to somebody else."""
        self.wipe()

    def writer(self) -> _Writer:
        """Return the header and the cipher for one more value. Counts it."""
        writer = self._writer
        if (
            writer is None
            or writer.process != _process
            or next(writer.uses) >= self._max_values  # next() of a count is atomic
        ):
            return self._next_writer(writer)
        return writer

    def reader(self, writer: bytes) -> AESGCM:
        """Return the cipher that opens what a writer sealed."""
        aead = self._readers.get(writer)
        if aead is None:
            aead = AESGCM(self._derive(_SEAL + writer))
            with self._lock:
                while len(self._readers) >= MAX_READERS:
                    del self._readers[next(iter(self._readers))]
                self._readers[writer] = aead
        return aead

    def index_key(self, column: bytes) -> bytes:
        """Return the key of HMAC for the blind index of a column."""
        key = self._index_keys.get(column)
        if key is None:
            key = self._derive(_INDEX + column)
            with self._lock:
                while len(self._index_keys) >= MAX_READERS:
                    del self._index_keys[next(iter(self._index_keys))]
                self._index_keys[column] = key
        return key

    @property
    def is_wiped(self) -> bool:
        """Whether there is no key here any more."""
        return self._material is None

    def is_of(self, material: bytearray) -> bool:
        """Compare with a key's bytes, in constant time."""
        mine = self._material
        return mine is not None and hmac.compare_digest(mine, material)

    def wipe(self) -> None:
        """Overwrite the key and drop what was derived of it: OpenSSL clears what it frees."""
        if not hasattr(self, "_lock"):  # never whole
            return
        with self._lock:
            if self._material is not None:
                self._material[:] = bytes(KEY_BYTES)
            self._material = self._writer = None
            self._readers = {}
            self._index_keys = {}

    def _derive(self, info: bytes) -> bytes:
        with self._lock:
            if self._material is None:
                raise FieldKeysAway("the data key was wiped; load the keys again")
            return hmac.digest(self._material, info + b"\x01", "sha256")

    def _next_writer(self, spent: _Writer | None) -> _Writer:
        name = os.urandom(WRITER_BYTES)
        aead = AESGCM(self._derive(_SEAL + name))
        fresh = _Writer(header_of(self.version, name), aead, itertools.count(1), _process)
        with self._lock:
            if self._material is None:
                raise FieldKeysAway("the data key was wiped; load the keys again")
            if self._writer is spent:
                self._writer = fresh
        return fresh
