"""Seals a stream of any length into an archive, and opens one, with the data key in hand.

Memory is bounded by a few chunks. Nothing is returned of a chunk that is not authentic; that
an archive is whole is known when its last chunk was opened, and not before.
"""

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from workload.backups.archive_key import ArchiveKey
from workload.backups.chunks import TAG_BYTES, ChunkOpener, ChunkSealer
from workload.backups.errors import ArchiveAltered, BackupFault
from workload.backups.header import (
    HEADER_BYTES,
    ID_BYTES,
    ArchiveHeader,
    ArchiveLabel,
    read_header,
)


class ByteSource(Protocol):
    """Where bytes come from: any binary file, a pipe too."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read up to the buffer's size; 0 at the end."""


Write = Callable[[bytes], object]
"""Takes all the bytes that it is given, or raises."""


def new_label(
    name: str, now: float, *, tenant: str = "", mount: str = "transit", key: str = "backups"
) -> ArchiveLabel:
    """Return the label of a new archive. Raises ``BackupFault``."""
    return ArchiveLabel(name, int(now), os.urandom(ID_BYTES), tenant, mount, key)


def seal_archive(
    source: ByteSource, write: Write, label: ArchiveLabel, data_key: bytearray, wrapped: str
) -> int:
    """Write an archive of all that ``source`` has; return how many bytes that was.

    ``data_key`` is wiped; ``wrapped`` is the same as Vault wrapped it. Raises ``BackupFault``,
    and ``OSError`` of reading and writing.
    """
    sealer, total = _begin(write, label, data_key, wrapped), 0
    for chunk, last in _pieces(source, label.chunk_bytes):
        write(sealer.seal(chunk, last=last))
        total += len(chunk)
    return total


class ArchiveWriter:
    """Seals what it is handed piece by piece. Without ``end`` it is no archive."""

    def __init__(
        self, write: Write, label: ArchiveLabel, data_key: bytearray, wrapped: str
    ) -> None:
        """Write the header; ``data_key`` is wiped. Raises ``BackupFault``."""
        self._sealer = _begin(write, label, data_key, wrapped)
        self._write = write
        self._chunk_bytes = label.chunk_bytes
        self._waiting = bytearray()

    def write(self, content: bytes) -> None:
        """Seal what makes full chunks; the last one waits, for nobody knows yet that it is."""
        self._waiting += content
        while len(self._waiting) > self._chunk_bytes:
            self._write(self._sealer.seal(bytes(self._waiting[: self._chunk_bytes]), last=False))
            del self._waiting[: self._chunk_bytes]

    def end(self) -> None:
        """Seal the last chunk."""
        self._write(self._sealer.seal(bytes(self._waiting), last=True))


def read_archive_header(source: ByteSource) -> ArchiveHeader:
    """Read the header from the start of an archive. Raises ``ArchiveAltered``."""
    buffer = memoryview(bytearray(HEADER_BYTES))
    return read_header(bytes(buffer[: _fill(source, buffer)]))


def opened_chunks(
    source: ByteSource,
    header: ArchiveHeader,
    data_key: bytearray,
    require: Callable[[ArchiveLabel], None] = lambda _label: None,
) -> Iterator[bytes]:
    """Yield the content behind a header that was read, each piece authentic.

    ``data_key`` is wiped; ``require`` is given the label when it is authentic, and may raise.
    Raises ``ArchiveAltered``: what was yielded before then is a beginning of what was sealed,
    and no more may be concluded from it.
    """
    key = ArchiveKey.verified(data_key, header)
    require(header.label)
    opener = ChunkOpener(key.aead, header.label.chunk_bytes)
    for sealed, at_end in _pieces(source, header.label.chunk_bytes + TAG_BYTES):
        yield opener.open(sealed, at_end=at_end)


def write_opened(
    source: ByteSource,
    write: Write,
    header: ArchiveHeader,
    data_key: bytearray,
    require: Callable[[ArchiveLabel], None] = lambda _label: None,
) -> int:
    """Write the content of an archive; return its size. Raises as ``opened_chunks`` does."""
    total = 0
    for chunk in opened_chunks(source, header, data_key, require):
        write(chunk)
        total += len(chunk)
    return total


def content_bytes(archive_bytes: int, label: ArchiveLabel) -> tuple[int, int]:
    """Return how many chunks an archive of this size has, and how large its content is.

    Raises ``ArchiveAltered`` for a size that no archive has.
    """
    sealed = label.chunk_bytes + TAG_BYTES
    whole, rest = divmod(archive_bytes - HEADER_BYTES, sealed)
    chunks = whole + bool(rest)
    if chunks < 1 or 0 < rest < TAG_BYTES or (rest == TAG_BYTES and whole):
        raise ArchiveAltered(f"no archive has {archive_bytes} bytes: it was cut, or added to")
    return chunks, archive_bytes - HEADER_BYTES - chunks * TAG_BYTES


def _begin(write: Write, label: ArchiveLabel, data_key: bytearray, wrapped: str) -> ChunkSealer:
    key = ArchiveKey(data_key, label.encode())
    write(ArchiveHeader(label, key.mac, wrapped).encode())
    return ChunkSealer(key.aead)


def _pieces(source: ByteSource, size: int) -> Iterator[tuple[memoryview, bool]]:
    """Yield pieces of ``size``, and whether each is the last; one that is empty of nothing.

    A piece is valid until the next one is asked for.
    """
    here, ahead = memoryview(bytearray(size)), memoryview(bytearray(size))
    have = _fill(source, here)
    while have == size:
        more = _fill(source, ahead)
        yield here, not more
        if not more:
            return
        here, ahead, have = ahead, here, more
    yield here[:have], True


def _fill(source: ByteSource, buffer: memoryview) -> int:
    """Read until the buffer is full or the source has ended."""
    have = 0
    while have < len(buffer):
        got = source.readinto(buffer[have:])
        if got is None:  # it would have to wait; that is no end
            raise BackupFault("the input is in non-blocking mode: read it through `cat`")
        if not got:
            break
        have += got
    return have
