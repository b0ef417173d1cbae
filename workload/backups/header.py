"""The first 1024 bytes of an archive: two sectors, the label's and the key's. Pure.

====== ==== =====================================================================
offset size content (numbers are unsigned, most significant byte first)
====== ==== =====================================================================
0      8    ``SEPTEMBK``
8      1    version of the format: 1
9      1    suite: 1 is AES-256-GCM with HKDF and HMAC of SHA-256
10     1    size of a chunk as a power of two: 10 to 20
11     16   id of the archive, random
27     8    when it was made, Unix seconds
35     4    four lengths, a byte each: name, tenant, mount, key
39     n    name, tenant (empty: all), transit mount and transit key, UTF-8
39+n        zeros up to 480
480    32   HMAC-SHA256 over bytes 0 to 479, by a key of the data key's
512    2    length of the wrapped data key
514    m    the wrapped data key as transit writes it: ``vault:v<version>:<base64>``
514+m       zeros up to 1024
====== ==== =====================================================================

The key's sector is not under the HMAC, so that a key can be wrapped again without being
opened. It is bound all the same: only the data key that is wrapped in it makes the HMAC.
There is one way to write a header; every other byte is refused.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import NamedTuple

from workload.backups.errors import ArchiveAltered, BackupFault

MAGIC = b"SEPTEMBK"
VERSION = 1
SUITE = 1
LABEL_BYTES = 480
MAC_BYTES = 32
SECTOR_BYTES = 512
HEADER_BYTES = 1024
ID_BYTES = 16
MIN_CHUNK_LOG2, CHUNK_LOG2, MAX_CHUNK_LOG2 = 10, 18, 20
_LENGTHS_AT = 35
_TEXTS_AT = 39
_MAX_NAME, _MAX_PLACE = 120, 90
_LATEST = 253_402_300_799
"""The last second of the year 9999."""
_MOUNT = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII)
_KEY = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+", re.ASCII)
_WRAPPED = re.compile(r"vault:v([1-9][0-9]{0,8}):([A-Za-z0-9+/]{40,400}={0,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArchiveLabel:
    """What an archive says of itself. Raises ``BackupFault`` for what no label can hold."""

    name: str
    created: int
    """Unix seconds."""
    archive_id: bytes
    tenant: str = ""
    """Whose data it is; empty for all tenants'."""
    mount: str = "transit"
    key: str = "backups"
    chunk_log2: int = CHUNK_LOG2

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("tenant", self.tenant)):
            if not text.isprintable() or len(_utf8(what, text)) > _MAX_NAME:
                raise BackupFault(
                    f"a {what} is printable text of at most {_MAX_NAME} bytes, on one line"
                )
        if not self.name:
            raise BackupFault("an archive needs a name, such as the database's (--name)")
        for what, text, form in (("mount", self.mount, _MOUNT), ("key", self.key, _KEY)):
            if len(text) > _MAX_PLACE or form.fullmatch(text) is None:
                raise BackupFault(
                    f"the transit {what} {text[:_MAX_PLACE]!r} is no name in Vault: letters, "
                    f"digits, '_', '.' and '-', {_MAX_PLACE} of them at most"
                )
        if len(self.archive_id) != ID_BYTES or not 0 <= self.created <= _LATEST:
            raise BackupFault(f"an archive has an id of {ID_BYTES} bytes and a time before 10000")
        if not MIN_CHUNK_LOG2 <= self.chunk_log2 <= MAX_CHUNK_LOG2:
            raise BackupFault("a chunk has 1 KiB to 1 MiB, a power of two")

    @property
    def chunk_bytes(self) -> int:
        """The size of each chunk but the last, before it is sealed."""
        return 1 << self.chunk_log2

    @property
    def place(self) -> str:
        """The transit key that wraps the data key: ``<mount>/<key>``."""
        return f"{self.mount}/{self.key}"

    def encode(self) -> bytes:
        """Return the label's 480 bytes."""
        texts = [each.encode() for each in (self.name, self.tenant, self.mount, self.key)]
        head = MAGIC + bytes((VERSION, SUITE, self.chunk_log2)) + self.archive_id
        head += self.created.to_bytes(8, "big") + bytes(len(each) for each in texts)
        return (head + b"".join(texts)).ljust(LABEL_BYTES, b"\0")


class ArchiveHeader(NamedTuple):
    """A header as it was read. Nothing in it is authentic before the HMAC was verified."""

    label: ArchiveLabel
    mac: bytes
    wrapped: str
    """The data key as transit wrapped it."""

    @property
    def key_version(self) -> int:
        """The version of the transit key that wrapped the data key."""
        found = _WRAPPED.fullmatch(self.wrapped)
        return int(found[1]) if found is not None else 0

    def encode(self) -> bytes:
        """Return the 1024 bytes."""
        return self.label.encode() + self.mac + encode_key_sector(self.wrapped)


def encode_key_sector(wrapped: str) -> bytes:
    """Return the second sector. Raises ``BackupFault`` for what transit did not wrap."""
    if not is_wrapped(wrapped):
        raise BackupFault("Vault's answer is no wrapped key that an archive can hold")
    text = wrapped.encode("ascii")
    return (len(text).to_bytes(2, "big") + text).ljust(SECTOR_BYTES, b"\0")


def is_wrapped(text: str) -> bool:
    """Tell whether a text is a key as transit wraps it, in the one spelling of its base64."""
    found = _WRAPPED.fullmatch(text)
    if found is None:
        return False
    try:
        raw = binascii.a2b_base64(found[2], strict_mode=True)
    except ValueError:
        return False
    return base64.b64encode(raw).decode() == found[2]


def read_header(raw: bytes) -> ArchiveHeader:
    """Read the first 1024 bytes. Raises ``ArchiveAltered``."""
    if len(raw) < HEADER_BYTES and MAGIC.startswith(raw[: len(MAGIC)]):
        raise ArchiveAltered(
            f"the archive ends at byte {len(raw)}, inside its header of {HEADER_BYTES} bytes"
        )
    if raw[:8] != MAGIC:
        raise ArchiveAltered("this is no sealed archive: it does not begin with SEPTEMBK")
    if raw[8] != VERSION or raw[9] != SUITE:
        raise ArchiveAltered(
            f"bytes 8 and 9 say format {raw[8]} with suite {raw[9]}, and this program reads "
            f"format {VERSION} with suite {SUITE}: a newer program may, or the header was altered"
        )
    label = _read_label(raw[:LABEL_BYTES])
    if label is None or label.encode() != raw[:LABEL_BYTES]:
        raise ArchiveAltered("bytes 10 to 479 are no label of an archive: the header was altered")
    sector = raw[SECTOR_BYTES:HEADER_BYTES]
    size = int.from_bytes(sector[:2], "big")
    wrapped = sector[2 : 2 + size].decode("latin-1")
    if not is_wrapped(wrapped) or encode_key_sector(wrapped) != sector:
        raise ArchiveAltered(
            "bytes 512 to 1023 hold no wrapped key as Vault's transit engine writes it: "
            "the header was altered"
        )
    return ArchiveHeader(label, raw[LABEL_BYTES:SECTOR_BYTES], wrapped)


def _read_label(raw: bytes) -> ArchiveLabel | None:
    texts, at = [], _TEXTS_AT
    for size in raw[_LENGTHS_AT:_TEXTS_AT]:
        texts.append(raw[at : at + size])
        at += size
    try:
        name, tenant, mount, key = (each.decode() for each in texts)
        created = int.from_bytes(raw[27:_LENGTHS_AT], "big")
        return ArchiveLabel(name, created, raw[11:27], tenant, mount, key, raw[10])
    except (UnicodeDecodeError, BackupFault):
        return None


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BackupFault(f"the {what} is no text that UTF-8 can hold") from None
