"""The frames of keys and revocations, and the keys in them.

A key is sent as its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), never with its private half.
"""

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.runtime.workers.framing import Frame, FrameFault
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.revocation import PartTables

_CURVE = ec.SECP256R1.name


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
