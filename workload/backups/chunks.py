"""Authenticated chunks: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, 2015).

Each chunk is sealed by AES-256-GCM under the archive's own key. Its nonce is its number in
eleven bytes and one byte that is 1 for the last chunk, so that a chunk opens in its place and
nowhere else, and the end is known. A key seals one archive, so no nonce is used twice. Every
chunk but the last is full; the last is empty only where the whole content is.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workload.backups.errors import ArchiveAltered, BackupFault
from workload.backups.header import HEADER_BYTES

TAG_BYTES = 16
MAX_CHUNKS = 2**32
"""1 PiB in chunks of 256 KiB: 2^46 blocks under one key."""


def nonce_of(number: int, *, last: bool) -> bytes:
    """Return the nonce of a chunk; the first has number 0."""
    return number.to_bytes(11, "big") + bytes((last,))


class ChunkSealer:
    """Seals the chunks of one archive, in their order."""

    def __init__(self, aead: AESGCM, *, max_chunks: int = MAX_CHUNKS) -> None:
        self._aead = aead
        self._max_chunks = max_chunks
        self._number = 0
        self._ended = False

    def seal(self, chunk: bytes | memoryview, *, last: bool) -> bytes:
        """Return the next chunk, sealed. Raises ``BackupFault`` past the bound of a key."""
        if self._ended:
            raise ValueError("nothing follows the last chunk")
        if self._number >= self._max_chunks:
            raise BackupFault(
                f"an archive holds {self._max_chunks} chunks at most: split what is to be sealed"
            )
        sealed = self._aead.encrypt(nonce_of(self._number, last=last), chunk, None)
        self._number += 1
        self._ended = last
        return sealed


class ChunkOpener:
    """Opens the chunks of one archive, in their order, and says what is wrong with one."""

    def __init__(self, aead: AESGCM, chunk_bytes: int) -> None:
        self._aead = aead
        self._sealed_bytes = chunk_bytes + TAG_BYTES
        self._number = 0

    def open(self, sealed: bytes | memoryview, *, at_end: bool) -> bytes:
        """Open the next chunk; ``at_end`` where nothing follows it. Raises ``ArchiveAltered``."""
        opened = self._try(sealed, last=at_end)
        if opened is None or self._number >= MAX_CHUNKS:
            raise ArchiveAltered(self._why(sealed, at_end=at_end))
        if at_end and not opened and self._number:
            raise ArchiveAltered(
                f"{self._where(len(sealed))} is empty, and no empty chunk ends one"
            )
        self._number += 1
        return opened

    def _try(self, sealed: bytes | memoryview, *, last: bool) -> bytes | None:
        try:
            return self._aead.decrypt(nonce_of(self._number, last=last), sealed, None)
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag
            return None

    def _why(self, sealed: bytes | memoryview, *, at_end: bool) -> str:
        """Say what is wrong. Only the message depends on what opens here."""
        end = HEADER_BYTES + self._number * self._sealed_bytes + len(sealed)
        if not sealed:
            return (
                f"the archive ends at byte {end}, before chunk {self._number}: "
                "it was cut, and its end is missing"
            )
        if at_end and self._try(sealed, last=False) is not None:
            return (
                f"the archive ends at byte {end}, after chunk {self._number}, which is not its "
                "last: it was cut, and its end is missing"
            )
        if not at_end and self._try(sealed, last=True) is not None:
            return (
                f"chunk {self._number} is the last one, and there is more from byte {end} on: "
                "something was added to the archive"
            )
        where = self._where(len(sealed))
        if len(sealed) < self._sealed_bytes:
            return (
                f"{where} is not what was sealed there: the archive was cut inside it, it was "
                "altered, or something was added to the archive"
            )
        return f"{where} is not what was sealed there: it was altered, or belongs elsewhere"

    def _where(self, size: int) -> str:
        start = HEADER_BYTES + self._number * self._sealed_bytes
        return f"chunk {self._number} (bytes {start} to {start + size - 1})"
