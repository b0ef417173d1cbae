"""Archives whose data key the test has, with chunks of 1 KiB: no Vault is asked."""

import base64
import io
from collections.abc import Callable

from workload.backups.archive import (
    opened_chunks,
    read_archive_header,
    seal_archive,
)
from workload.backups.chunks import TAG_BYTES
from workload.backups.header import HEADER_BYTES, ArchiveLabel

CHUNK = 1024
SEALED_CHUNK = CHUNK + TAG_BYTES
BODY = HEADER_BYTES
WRAPPED = "vault:v3:" + base64.b64encode(bytes(range(60))).decode()
CREATED = 1_790_000_000


def data_key(seed: int = 1) -> bytearray:
    return bytearray([seed]) * 32


def label(seed: int = 1, name: str = "orders", tenant: str = "") -> ArchiveLabel:
    return ArchiveLabel(name, CREATED, bytes([seed]) * 16, tenant, chunk_log2=10)


def content_of(size: int, seed: int = 1) -> bytes:
    return bytes((at * 7 + at // 251 + seed) % 256 for at in range(size))


def seal(content: bytes, seed: int = 1, *, wrapped: str = WRAPPED) -> bytes:
    out: list[bytes] = []
    seal_archive(io.BytesIO(content), out.append, label(seed), data_key(seed), wrapped)
    return b"".join(out)


def unseal(archive: bytes, seed: int = 1, got: Callable[[bytes], object] = id) -> bytes:
    """Open an archive; ``got`` is handed each piece as it comes."""
    source = io.BytesIO(archive)
    pieces = []
    for piece in opened_chunks(source, read_archive_header(source), data_key(seed)):
        got(piece)
        pieces.append(piece)
    return b"".join(pieces)
