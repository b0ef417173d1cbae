"""How far each sink has got: a small sealed file beside the segments.

A cursor that an intruder could move forward would let lines go unsent, so the file is sealed like
a segment. An older copy of it put back only sends lines again, and a sink that tells repeated
batches apart (``batch`` in ``Cursor``) drops those.
"""

import os
from pathlib import Path

import msgspec

from sidecar.common.private_file import PRIVATE_MODE
from sidecar.observability.audit.spool.keys import DataKey, SpoolKeys
from sidecar.observability.audit.spool.records import (
    PREAMBLE_BYTES,
    RECORD_HEADER_BYTES,
    SALT_BYTES,
    DamagedError,
    SegmentCipher,
    SegmentHeader,
    begin_segment,
    read_preamble,
    read_record_header,
)
from sidecar.observability.audit.spool.segments import write_whole

NAME = "cursors"
_MAX_BYTES = PREAMBLE_BYTES + 65_536


class Cursor(msgspec.Struct, forbid_unknown_fields=True):
    """Where one sink is, in numbers of lines."""

    next: int
    """The first line that it has not got."""
    batch: int
    """Where the batch ends that was begun: tried again, it has to have the same bytes."""


Cursors = dict[str, Cursor]
_decoder = msgspec.json.Decoder(Cursors)


def write_cursors(folder: Path, key: DataKey, cursors: Cursors) -> None:
    """Replace the file. Raises ``OSError``; then the file before it is still there."""
    salt = os.urandom(SALT_BYTES)
    beginning, cipher = begin_segment(key.secret, SegmentHeader(key.reference, salt, 0))
    text = msgspec.json.encode(cursors)
    new = folder / f"{NAME}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, PRIVATE_MODE)
    try:
        write_whole(descriptor, beginning + cipher.seal(0, 0, 0, text, 1))
    finally:
        os.close(descriptor)
    new.replace(folder / NAME)


def read_cursors(folder: Path, keys: SpoolKeys) -> Cursors:
    """Read the file; nothing where there is none.

    Raises ``DamagedError``; and ``OSError`` where its key can't be had now.
    """
    try:
        with (folder / NAME).open("rb") as file:
            text = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return {}
    preamble = read_preamble(text)
    cipher = SegmentCipher(keys.open(preamble.header.key), preamble.header, preamble.text)
    cipher.check_header(preamble.seal, 0)
    at = preamble.size + RECORD_HEADER_BYTES
    record = read_record_header(text[preamble.size : at])
    if record is None:
        raise DamagedError("it is cut off")
    try:
        return _decoder.decode(cipher.open(0, record, text[at : at + record.sealed_bytes]))
    except msgspec.DecodeError as exc:
        raise DamagedError("it can't be read") from exc
