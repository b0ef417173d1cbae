"""What a sealed value looks like, byte for byte. Pure.

    1   format          0x01: AES-256-GCM under a writer's key, as `data_key` derives it
    4   key version     of its scope, from 1, big-endian
    16  writer          random: which key of that version
    12  nonce           random
    n   ciphertext      as long as the value
    16  tag

The header, all before the nonce, is part of the associated data.
"""

from typing import NamedTuple

FORMAT = 0x01
WRITER_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = 1 + 4 + WRITER_BYTES
BODY_AT = HEADER_BYTES + NONCE_BYTES
OVERHEAD_BYTES = BODY_AT + TAG_BYTES
"""How much longer a sealed value is: 49 bytes."""
MAX_VALUE_BYTES = 65_536
MAX_VERSION = 2**31 - 1
"""What an INTEGER column of every database holds."""


class SealedParts(NamedTuple):
    """A sealed value, taken apart."""

    version: int
    writer: bytes
    header: bytes
    nonce: bytes
    body: bytes


def header_of(version: int, writer: bytes) -> bytes:
    """Return the first bytes of each value that a writer seals."""
    return bytes((FORMAT,)) + version.to_bytes(4, "big") + writer


def read_sealed(sealed: object) -> SealedParts | None:
    """Take a sealed value apart; ``None`` where it is none of this format."""
    if not isinstance(sealed, bytes | bytearray | memoryview):
        return None
    raw = bytes(sealed)
    if not OVERHEAD_BYTES <= len(raw) <= OVERHEAD_BYTES + MAX_VALUE_BYTES or raw[0] != FORMAT:
        return None
    version = int.from_bytes(raw[1:5], "big")
    if not 0 < version <= MAX_VERSION:
        return None
    header = raw[:HEADER_BYTES]
    return SealedParts(version, header[5:], header, raw[HEADER_BYTES:BODY_AT], raw[BODY_AT:])


def key_version(sealed: object) -> int | None:
    """Return the version of the key that a value says it is sealed under."""
    parts = read_sealed(sealed)
    return None if parts is None else parts.version
