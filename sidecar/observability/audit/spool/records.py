"""How a segment of the spool is written: a header, then sealed records in their order. Pure.

Every segment has a key of its own, derived from the data key and a random salt (HKDF-SHA256,
RFC 5869); no two records are sealed under the same key and nonce, whatever crashes in between.
A record is sealed with AES-256-GCM (NIST SP 800-38D). Its nonce is its number in the segment, and
what is authenticated with it is the segment's header and its own: a record that was altered,
exchanged, moved, repeated, or put into another segment does not open. A last record without lines
ends a segment that was completed, so that one that was cut off is told from it; the numbers of
lines in the header of the next one say how many lines are missing.
"""

import struct
from hashlib import sha256
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DATA_KEY_BYTES = 32
SALT_BYTES = 32
MAX_RECORD_BYTES = 16_777_216
MAX_RECORD_LINES = 65_536
_MAGIC = b"SEPTEMSPOOL1\n"
_LENGTH = struct.Struct(">I")
_RECORD = struct.Struct(">IIQQ")
_NONCE = struct.Struct(">4xQ")
_MAX_HEADER_BYTES = 4096
_TAG_BYTES = 16
_HEADER_NUMBER = 2**64 - 1
"""The nonce of the seal of the header, which no record reaches."""


class DamagedError(Exception):
    """What is there was not written so, or not with this key."""


class KeyReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the data key is had again: wrapped by Vault transit, or a version of an entry of KV."""

    wrapped: str = ""
    version: int = 0


class SegmentHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in front of a segment, readable without the key."""

    key: KeyReference
    salt: bytes
    first: int
    """The number of its first line: lines are numbered through all segments."""


class RecordHeader(NamedTuple):
    """What stands in front of a record."""

    sealed_bytes: int
    lines: int
    first: int
    at_ms: int
    """When it was written, in milliseconds of Unix time."""

    @property
    def end(self) -> int:
        """The number of the line after its last."""
        return self.first + self.lines


RECORD_HEADER_BYTES = _RECORD.size


class Preamble(NamedTuple):
    """The beginning of a segment as it was read."""

    header: SegmentHeader
    text: bytes
    seal: bytes
    size: int
    """Where its first record begins."""


class SegmentCipher:
    """Seals and opens what stands in one segment. Raises ``DamagedError``."""

    def __init__(self, data_key: bytes, header: SegmentHeader, text: bytes) -> None:
        info = b"septem audit spool, segment"
        key = HKDF(SHA256(), DATA_KEY_BYTES, header.salt, info).derive(data_key)
        self._cipher = AESGCM(key)
        self._digest = sha256(text).digest()
        self._first = header.first

    def seal_header(self) -> bytes:
        """Return what authenticates the header, and tells another key from damage."""
        return self._cipher.encrypt(_NONCE.pack(_HEADER_NUMBER), b"", self._digest)

    def check_header(self, seal: bytes, first: int) -> None:
        """Raise ``DamagedError`` for a header of another segment, or not sealed with this key."""
        self._open(_HEADER_NUMBER, seal, self._digest)
        if self._first != first:
            raise DamagedError("it is another segment")

    def seal(self, number: int, first: int, at_ms: int, lines: bytes, count: int) -> bytes:
        """Return a whole record. ``number`` is its place among those of the segment, from 0."""
        head = _RECORD.pack(len(lines) + _TAG_BYTES, count, first, at_ms)
        return head + self._cipher.encrypt(_NONCE.pack(number), lines, self._digest + head)

    def open(self, number: int, record: RecordHeader, sealed: bytes) -> bytes:
        """Return the lines of a record."""
        return self._open(number, sealed, self._digest + _RECORD.pack(*record))

    def _open(self, number: int, sealed: bytes, authenticated: bytes) -> bytes:
        try:
            return self._cipher.decrypt(_NONCE.pack(number), sealed, authenticated)
        except InvalidTag as exc:
            raise DamagedError("it was altered, or sealed with another key") from exc


def begin_segment(data_key: bytes, header: SegmentHeader) -> tuple[bytes, SegmentCipher]:
    """Return the bytes in front of a segment's first record, and what seals its records."""
    text = msgspec.json.encode(header)
    cipher = SegmentCipher(data_key, header, text)
    return _MAGIC + _LENGTH.pack(len(text)) + text + cipher.seal_header(), cipher


def read_preamble(beginning: bytes) -> Preamble:
    """Read the front of a segment, of its first 8 KiB or more. Raises ``DamagedError``."""
    at = len(_MAGIC) + _LENGTH.size
    if len(beginning) < at or not beginning.startswith(_MAGIC):
        raise DamagedError("it does not begin as a segment does")
    (length,) = _LENGTH.unpack_from(beginning, len(_MAGIC))
    size = at + length + _TAG_BYTES
    if length > _MAX_HEADER_BYTES or len(beginning) < size:
        raise DamagedError("its header is cut off")
    text = beginning[at : at + length]
    try:
        header = msgspec.json.decode(text, type=SegmentHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DamagedError("its header can't be read") from exc
    if len(header.salt) != SALT_BYTES or header.first < 0:
        raise DamagedError("its header can't be right")
    return Preamble(header, text, beginning[at + length : size], size)


PREAMBLE_BYTES = len(_MAGIC) + _LENGTH.size + _MAX_HEADER_BYTES + _TAG_BYTES
"""As much as a segment's beginning may take."""


def read_record_header(head: bytes) -> RecordHeader | None:
    """Read what stands in front of a record; ``None`` for what can't be one."""
    if len(head) < _RECORD.size:
        return None
    record = RecordHeader(*_RECORD.unpack_from(head))
    fits = _TAG_BYTES <= record.sealed_bytes <= MAX_RECORD_BYTES + _TAG_BYTES
    return record if fits and record.lines <= MAX_RECORD_LINES else None
