"""Checkpoints: the signed heads of a chain. Pure.

The format is that of C2SP's ``signed-note`` and ``tlog-checkpoint``: a text of lines, an empty
line, and a line for each signature, here Ed25519. The value in the place of a tree's root hash is
the chain value of the line with that number, so the origin says that this is a hash chain:

    septem-sidecar/audit-hash-chain/<key>
    <number of the line>
    <its chain value, base64>
    trail <name of the chain>
    time <RFC 3339>
    cause <start, interval, rotation or stop>

    — septem-sidecar/audit-hash-chain/<key> <base64 of 4 bytes of the key's id and the signature>
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from sidecar.common.errors import Fault
from sidecar.observability.audit.chain import MAX_SEQ, Head

ORIGIN = "septem-sidecar/audit-hash-chain/"
"""How the origin begins; the name of the key follows. A key's name is the origin."""
MAX_NOTE_BYTES = 4096
_ED25519 = b"\x01"
_KEY_ID_BYTES, _KEY_BYTES, _SIGNATURE_BYTES = 4, 32, 64
_DASH = "\u2014 "
_TEXT = re.compile(
    rf"(?P<origin>{ORIGIN}[A-Za-z0-9_./-]{{1,512}})\n"
    r"(?P<seq>[1-9][0-9]{0,17})\n"
    r"(?P<chain>[A-Za-z0-9+/]{43}=)\n"
    r"trail (?P<trail>[0-9a-f]{16})\n"
    r"time (?P<time>[0-9T:.+-]{20,40})\n"
    r"cause (?P<cause>[a-z]{1,16})\n"
)
_SIGNATURE = re.compile(rf"{_DASH}(?P<name>[^\s+]{{1,600}}) (?P<value>[A-Za-z0-9+/]+={{0,2}})\n")


class CheckpointKeyFault(Fault):
    """A key to verify checkpoints with can't be read."""


class Cause(StrEnum):
    """Why a checkpoint was made."""

    START = "start"
    INTERVAL = "interval"
    ROTATION = "rotation"
    STOP = "stop"


class Verdict(StrEnum):
    """What the signatures of a note are worth."""

    SIGNED = "signed"
    KEY_UNKNOWN = "key_unknown"
    FORGED = "forged"


class Checkpoint(NamedTuple):
    """What a checkpoint says: at this time the chain had this head."""

    origin: str
    head: Head
    time: str
    cause: str

    @property
    def text(self) -> bytes:
        """Return what is signed."""
        trail, seq, chain = self.head
        root = base64.b64encode(bytes.fromhex(chain.decode())).decode()
        return (
            f"{self.origin}\n{seq}\n{root}\n"
            f"trail {trail.decode()}\ntime {self.time}\ncause {self.cause}\n"
        ).encode()


class NoteKey(NamedTuple):
    """A public key, Ed25519, and its name."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Return the four bytes by which a signature names the key (signed-note)."""
        return sha256(f"{self.name}\n".encode() + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """Return the key as text, in the form that other tools for notes read."""
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """Return whether this key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


class Note(NamedTuple):
    """A checkpoint with its signatures: name, key id and signature of each."""

    checkpoint: Checkpoint
    text: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def judge(self, keys: Iterable[NoteKey]) -> Verdict:
        """Return whether one of the keys signed it, or would have but did not."""
        origin = self.checkpoint.origin
        named = (each._replace(name=each.name or origin) for each in keys)
        known = {(each.name, each.key_id): each for each in named}
        verdict = Verdict.KEY_UNKNOWN
        for name, key_id, signature in self.signatures:
            key = known.get((name, key_id))
            if key is not None and name == origin:
                if not key.verifies(signature, self.text):
                    return Verdict.FORGED
                verdict = Verdict.SIGNED
        return verdict


def make_note(checkpoint: Checkpoint, key: NoteKey, signature: bytes) -> str:
    """Return a checkpoint with its signature, as a text."""
    value = base64.b64encode(key.key_id + signature).decode()
    return f"{checkpoint.text.decode()}\n{_DASH}{key.name} {value}\n"


def read_note(note: str) -> Note | None:
    """Return what a note says; ``None`` for what is no checkpoint of a chain of ours."""
    text, empty, signatures = note.partition("\n\n")
    found = _TEXT.fullmatch(f"{text}\n")
    if not empty or found is None or len(note) > MAX_NOTE_BYTES:
        return None
    read = []
    for line in signatures.splitlines(keepends=True):
        match = _SIGNATURE.fullmatch(line)
        value = b"" if match is None else _decode(match["value"])
        if match is None or len(value) <= _KEY_ID_BYTES:
            return None
        if len(value) == _KEY_ID_BYTES + _SIGNATURE_BYTES:  # other kinds are ignored (signed-note)
            read.append((match["name"], value[:_KEY_ID_BYTES], value[_KEY_ID_BYTES:]))
    chain = _decode(found["chain"])
    if not read or len(chain) != sha256().digest_size or int(found["seq"]) >= MAX_SEQ:
        return None
    head = Head(found["trail"].encode(), int(found["seq"]), chain.hex().encode())
    checkpoint = Checkpoint(found["origin"], head, found["time"], found["cause"])
    return Note(checkpoint, f"{text}\n".encode(), tuple(read))


def split_notes(text: str) -> Iterator[str]:
    """Yield the notes of a file to which they were appended one after another."""
    note: list[str] = []
    for line in text.splitlines(keepends=True):
        if note and line.startswith(ORIGIN):
            yield "".join(note)
            note = []
        note.append(line)
    if note:
        yield "".join(note)


def read_given_keys(given: str) -> list[NoteKey]:
    """Return the keys of a vkey, or of the file with this name: vkeys, one a line, or a PEM.

    A PEM has no name: it stands for every name. Raises ``CheckpointKeyFault``.
    """
    if given.startswith(ORIGIN) and "+" in given:
        return [read_vkey(given)]
    try:
        text = Path(given).read_text("ascii").strip()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise CheckpointKeyFault(
            f"{given} is no vkey, and can't be read as a file: {why}"
        ) from None
    if text.startswith("-----BEGIN"):
        return [_read_pem(given, text)]
    return [read_vkey(each.strip()) for each in text.splitlines() or [""]]


def read_vkey(text: str) -> NoteKey:
    """Read a key as text (signed-note, "Verifier keys"). Raises ``CheckpointKeyFault``."""
    match text.split("+", 2):
        case [name, key_id, encoded]:
            value = _decode(encoded)
            key = NoteKey(name, value[1:])
            if value[:1] == _ED25519 and len(key.public) == _KEY_BYTES:
                if key.key_id.hex() == key_id:
                    return key
                raise CheckpointKeyFault(
                    "the vkey's id is not that of its name and key: is it cut?"
                )
    raise CheckpointKeyFault(
        "that is no vkey of an Ed25519 key: name+id+key; see `sidecar audit key`"
    )


def _read_pem(where: str, text: str) -> NoteKey:
    try:
        key = load_pem_public_key(text.encode())
    except ValueError:
        raise CheckpointKeyFault(
            f"{where}: this PEM holds no public key that can be read"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise CheckpointKeyFault(
            f"{where}: checkpoints are signed with Ed25519, and this is another key"
        )
    return NoteKey("", key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
