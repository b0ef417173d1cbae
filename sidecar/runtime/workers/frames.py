"""The protocol between the main process and a worker.

A frame is four bytes of length, big-endian, and a msgpack map that names its kind. The main
process sends the configuration, public keys (SubjectPublicKeyInfo, never a private key),
revocations and commands; a worker sends acknowledgements, counts and log lines. Both ends must
be of one version: ``Start`` names it, and a worker of another version refuses it.
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
from sidecar.limits.buckets import Share, SpendReport
from sidecar.limits.sharing import MAX_REPORTS
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.revocation import PartTables

PROTOCOL = 4
MAX_TO_WORKER_BYTES = 67_108_864
"""The largest configurations and revocation lists are eight megabytes at their source."""
MAX_FROM_WORKER_BYTES = 1_048_576
MAX_TEXT = 4096
MAX_TOKENS = 1024
"""The most challenges in one request."""
LogLevel = Literal[10, 20, 30, 40, 50]
_LENGTH_BYTES = 4
_CURVE = ec.SECP256R1.name


class FrameFault(Fault):
    """The other end violates the protocol."""


class Frame(msgspec.Struct, frozen=True, tag_field="frame"):
    """The base of every frame."""


class Start(Frame, frozen=True, tag="start"):
    """To a worker, first: its number, and the address on which it listens.

    ``control`` is the inherited descriptor of the decision cache's memory; -1 for none.
    """

    protocol: int
    number: int
    address: str
    control: int = -1


class Policies(Frame, frozen=True, tag="policies"):
    """To a worker, second: the configuration; it uses routes, domains, headers and token rules.

    It contains no secret (paths of files at most). Another one is sent for a reload: the worker
    compiles it, acknowledges that, and decides by it from the ``KeysFrame`` on that names its
    number.
    """

    config: model.Config
    number: int = 1


class PublicKey(msgspec.Struct, frozen=True, array_like=True):
    """One verification key; ``spki`` is DER."""

    kid: str
    issuer: str | None
    spki: bytes


class Revoked(Frame, frozen=True, tag="revoked"):
    """To a worker: a part of the revocations, before the ``KeysFrame`` that puts it in force.

    Each part is sent once, in a frame of its own: a long list never blocks a worker.
    """

    part: int
    tables: PartTables


class KeysFrame(Frame, frozen=True, tag="keys"):
    """To a worker: all verification keys, their state, the parts of the revocations, publishers.

    ``policies`` is the number of the configuration in force with them.
    """

    version: int
    keys: tuple[PublicKey, ...]
    revoked: tuple[int, ...]
    """The numbers of the parts in force. The worker drops every other part."""
    state: KeyState
    revocations_degraded: bool = False
    publishers: tuple[PublicKey, ...] = ()
    """Publishers' keys; ``issuer`` is the publisher."""
    withdrawn: tuple[str, ...] = ()
    """SHA-256 digests of bundles that must not be installed, in hex."""
    policies: int = 1


class Domains(Frame, frozen=True, tag="domains"):
    """To a worker: one shard of the tenants' domains, in force from the next Check on."""

    version: int
    shard: Annotated[int, msgspec.Meta(ge=0, lt=SHARDS)]
    owners: dict[str, str]


class Readiness(Frame, frozen=True, tag="readiness"):
    """To a worker: whether the sidecar as a whole is ready; gRPC health follows it."""

    ready: bool


class LeasesHeld(Frame, frozen=True, tag="leases"):
    """To a worker: whether any Envoy holds a lease, so that answers carry what it must remember."""

    held: bool


class CreditSlotsFrame(Frame, frozen=True, tag="credit_slots"):
    """To a worker: tenants that were given a slot of the credit memory, and which."""

    slots: dict[str, int]


class KnownChallenge(msgspec.Struct, frozen=True, array_like=True):
    """A challenge in flight: what a Check needs of it."""

    token: str
    host: str
    answer: str


class TenantRate(msgspec.Struct, frozen=True, array_like=True):
    """A tenant's own rate limit."""

    requests: int
    per_seconds: int
    burst: int
    shadow: bool


class LimitsState(Frame, frozen=True, tag="limits"):
    """To a worker: what limits depend on besides the settings.

    ``secret`` is the key under which logins are hashed; the shares are those of buckets that are
    asked for the first time.
    """

    secret: bytes
    new_share: float
    new_strict_share: float


class TenantRates(Frame, frozen=True, tag="tenant_rates"):
    """To a worker: some tenants' own limits, in force from the next Check on.

    ``None`` is for a tenant that has none any more. Of many tenants each frame has a few, so that
    a worker answers Checks between them.
    """

    rates: dict[str, TenantRate | None]


class LimitsShares(Frame, frozen=True, tag="limits_shares"):
    """To a worker: what it may spend of the buckets of its last ``LimitsUsed``.

    ``at_ns`` is when that was so, by the monotonic clock that processes of one machine share.
    """

    at_ns: int
    shares: tuple[Share, ...]


class ChallengesReply(Frame, frozen=True, tag="told_challenges"):
    """To a worker: the challenges that are known among those of request ``number``."""

    number: int
    known: tuple[KnownChallenge, ...] = ()


class StatsRequest(Frame, frozen=True, tag="ask"):
    """To a worker: reply with a ``Report``. A worker that does not is considered hung."""

    number: int


class Drain(Frame, frozen=True, tag="drain"):
    """To a worker: answer the calls in flight within ``listen.drain_seconds``, report, and end."""


class Serving(Frame, frozen=True, tag="serving"):
    """From a worker: it listens, and how it is confined (``sidecar.runtime.hardening``)."""

    address: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    hardening: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class VersionRefused(Frame, frozen=True, tag="refused"):
    """From a worker: the ``Fault`` that prevents it from listening."""

    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Applied(Frame, frozen=True, tag="applied"):
    """From a worker: this version of keys and domains applies from the next Check on."""

    version: int


class Compiled(Frame, frozen=True, tag="compiled"):
    """From a worker: it has compiled the policies of this number, or why it can't."""

    number: int
    problem: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class Report(Frame, frozen=True, tag="report"):
    """From a worker: the reply to a ``StatsRequest``, or its final report (number 0)."""

    number: int
    version: int
    stats: WorkerStats = msgspec.field(name="numbers")


class UnknownKid(Frame, frozen=True, tag="unknown_kid"):
    """From a worker: a token names an unknown key; limited in its rate."""


class ChallengesRequest(Frame, frozen=True, tag="wanted_challenges"):
    """From a worker: a client requests these tokens of ACME challenges.

    A worker sends its next request after the reply to this one.
    """

    number: int
    tokens: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=128)], ...],
        msgspec.Meta(max_length=MAX_TOKENS),
    ]


class LimitsUsed(Frame, frozen=True, tag="limits_used"):
    """From a worker: what was asked of its buckets since it reported before, at ``since_ns``."""

    since_ns: int
    reports: Annotated[tuple[SpendReport, ...], msgspec.Meta(max_length=MAX_REPORTS)]


class LogLine(Frame, frozen=True, tag="log"):
    """From a worker: a record for the common log; ``level`` is one of Python's five."""

    level: LogLevel
    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


ToWorker = (
    Start
    | Policies
    | Revoked
    | KeysFrame
    | Domains
    | Readiness
    | LimitsState
    | TenantRates
    | LimitsShares
    | LeasesHeld
    | CreditSlotsFrame
    | ChallengesReply
    | StatsRequest
    | Drain
)
FromWorker = (
    Serving
    | VersionRefused
    | Applied
    | Compiled
    | Report
    | UnknownKid
    | ChallengesRequest
    | LimitsUsed
    | LogLine
)

_encoder = msgspec.msgpack.Encoder()


def encode(frame: Frame) -> bytes:
    """Return one frame, with its length before it."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Splits a stream into frames of ``kind``; raises ``FrameFault`` for any other bytes."""

    def __init__(self, kind: Any, max_bytes: int) -> None:
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take received bytes and yield the complete frames."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > self._max_bytes:
                raise FrameFault(f"a frame has {length} bytes, the limit is {self._max_bytes}")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise FrameFault(f"a frame can't be decoded: {exc}") from None


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
    """Return the publishers of a frame; raise ``FrameFault`` for an invalid key."""
    keys = (PublisherKey(str(key.issuer), _load(key.spki)) for key in frame.publishers)
    return Publishers(keys, frame.withdrawn)


def ring_of(keys: tuple[PublicKey, ...]) -> KeyRing:
    """Return the ring of the keys of a frame; raise ``FrameFault`` for an invalid key."""
    return KeyRing(VerificationKey(key.kid, _load(key.spki), key.issuer) for key in keys)


def _load(spki: bytes) -> ec.EllipticCurvePublicKey:
    try:
        public = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise FrameFault("a key can't be read") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != _CURVE:
        raise FrameFault("a key is not on the curve P-256")
    return public
