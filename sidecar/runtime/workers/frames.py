"""What the main process and a worker say to each other.

A frame is four bytes of length, big-endian, and a msgpack map that names its kind. Down go
the configuration, public keys (SubjectPublicKeyInfo, never a private one), revocations and
orders; up go acknowledgements, counts and log lines. Both ends are of one version: ``Start``
says which, and a worker of another one refuses it.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from sidecar.common.errors import Fault
from sidecar.common.registered_domains import SHARDS
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.revocation import PartTables

PROTOCOL = 2
MAX_DOWN_BYTES = 67_108_864
"""The largest configurations and lists of revocations are eight megabytes where they come from."""
MAX_UP_BYTES = 1_048_576
MAX_TEXT = 4096
MAX_TOKENS = 1024
"""Challenges that one question may be about."""
LogLevel = Literal[10, 20, 30, 40, 50]
_LENGTH_BYTES = 4
_CURVE = ec.SECP256R1.name


class FrameFault(Fault):
    """The other end does not keep to the protocol."""


class Frame(msgspec.Struct, frozen=True, tag_field="frame"):
    """The base of every frame."""


class Start(Frame, frozen=True, tag="start"):
    """Down, first: who the worker is, and where it listens."""

    protocol: int
    number: int
    address: str


class Policies(Frame, frozen=True, tag="policies"):
    """Down, second: the configuration, of which routes, domains, headers and token rules matter.

    It holds no secret (paths of files at most). A changed one is a restart, for all.
    """

    config: model.Config


class PublicKey(msgspec.Struct, frozen=True, array_like=True):
    """One verification key; ``spki`` is DER."""

    kid: str
    issuer: str | None
    spki: bytes


class Revoked(Frame, frozen=True, tag="revoked"):
    """Down: a part of what is revoked, before the ``KeysFrame`` that put it in force by its number.

    Parts come one a frame and only once: a long list never holds a worker up as a whole.
    """

    part: int
    tables: PartTables


class KeysFrame(Frame, frozen=True, tag="keys"):
    """Down: all keys that verify, their state, the parts of what is revoked, publishers."""

    version: int
    keys: tuple[PublicKey, ...]
    revoked: tuple[int, ...]
    """The numbers of the parts that are in force. A part that is not among them is forgotten."""
    state: KeyState
    revocations_degraded: bool = False
    publishers: tuple[PublicKey, ...] = ()
    """Publishers' keys; ``issuer`` is the publisher."""
    withdrawn: tuple[str, ...] = ()
    """SHA-256 digests of bundles that must not be installed, in hex."""


class Domains(Frame, frozen=True, tag="domains"):
    """Down: one shard of the owners of registered domains, in force from the next Check on."""

    version: int
    shard: Annotated[int, msgspec.Meta(ge=0, lt=SHARDS)]
    owners: dict[str, str]


class Readiness(Frame, frozen=True, tag="readiness"):
    """Down: whether the sidecar as a whole is ready; gRPC health follows it."""

    ready: bool


class KnownChallenge(msgspec.Struct, frozen=True, array_like=True):
    """A challenge in flight, as far as a Check needs it."""

    token: str
    host: str
    answer: str


class ChallengesReply(Frame, frozen=True, tag="told_challenges"):
    """Down: what is known of the tokens that question ``number`` was about."""

    number: int
    known: tuple[KnownChallenge, ...] = ()


class Ask(Frame, frozen=True, tag="ask"):
    """Down: answer with a ``Report``. A worker that does not is taken for hung."""

    number: int


class Drain(Frame, frozen=True, tag="drain"):
    """Down: answer the calls in flight within ``listen.drain_seconds``, report, and end."""


class Serving(Frame, frozen=True, tag="serving"):
    """Up: the worker listens, and this is what it has given up (``sidecar.runtime.hardening``)."""

    address: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    hardening: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class VersionRefused(Frame, frozen=True, tag="refused"):
    """Up: the ``Fault`` that makes it impossible to listen."""

    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Applied(Frame, frozen=True, tag="applied"):
    """Up: from the next Check on, this version of keys and domains decides."""

    version: int


class Report(Frame, frozen=True, tag="report"):
    """Up: the answer to ``Ask``, and unasked (number 0) the last word."""

    number: int
    version: int
    numbers: WorkerStats


class UnknownKid(Frame, frozen=True, tag="unknown_kid"):
    """Up: a token names a key that is not known; bounded in its rate."""


class ChallengesRequest(Frame, frozen=True, tag="wanted_challenges"):
    """Up: a CA, or somebody who looks like one, asks for these tokens of ACME challenges.

    A worker asks its next question when this one is answered.
    """

    number: int
    tokens: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=128)], ...],
        msgspec.Meta(max_length=MAX_TOKENS),
    ]


class LogLine(Frame, frozen=True, tag="log"):
    """Up: a record for the one log; ``level`` is one of Python's five."""

    level: LogLevel
    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


Down = Start | Policies | Revoked | KeysFrame | Domains | Readiness | ChallengesReply | Ask | Drain
Up = Serving | VersionRefused | Applied | Report | UnknownKid | ChallengesRequest | LogLine

_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """Encode one frame, with its length before it."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Cuts a stream into frames of ``kind``; raises ``FrameFault`` for what is none."""

    def __init__(self, kind: Any, max_bytes: int) -> None:
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take what arrived and yield the frames that are whole."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > self._max_bytes:
                raise FrameFault(f"a frame of {length} bytes, over the limit of {self._max_bytes}")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise FrameFault(f"a frame that is not understood: {exc}") from None


def public_keys(ring: KeyRing) -> tuple[PublicKey, ...]:
    """Return the keys of a ring as they are sent."""
    return tuple(
        PublicKey(
            key.kid,
            key.issuer,
            key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        )
        for key in ring
    )


def publisher_keys(publishers: Publishers) -> tuple[PublicKey, ...]:
    """Return the keys of publishers as they are sent."""
    return tuple(
        PublicKey(
            kid,
            key.publisher,
            key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        )
        for kid, key in publishers
    )


def publishers_of(frame: KeysFrame) -> Publishers:
    """Make the publishers that were sent; raises ``FrameFault`` for what is no key."""
    keys = (PublisherKey(str(key.issuer), _load(key.spki)) for key in frame.publishers)
    return Publishers(keys, frame.withdrawn)


def ring_of(keys: tuple[PublicKey, ...]) -> KeyRing:
    """Make the ring of the keys that were sent; raises ``FrameFault`` for what is no key."""
    return KeyRing(VerificationKey(key.kid, _load(key.spki), key.issuer) for key in keys)


def _load(spki: bytes) -> ec.EllipticCurvePublicKey:
    try:
        public = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise FrameFault("a key that can't be read") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != _CURVE:
        raise FrameFault("a key that is none of P-256")
    return public
