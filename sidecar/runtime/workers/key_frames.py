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
from sidecar.tokens.algorithms import ALGORITHMS, ES256, PublicKey
from sidecar.tokens.jwk import JwkFault, public_half
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.revocation import PartTables


class SentKey(msgspec.Struct, frozen=True, array_like=True):
    """One verification key; ``spki`` is DER, ``algorithm`` the name of its only algorithm."""

    kid: str
    issuer: str | None
    spki: bytes
    algorithm: str


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
    keys: tuple[SentKey, ...]
    revoked: tuple[int, ...]
    """The numbers of the parts in force. The worker drops every other part."""
    state: KeyState
    revocations_degraded: bool = False
    publishers: tuple[SentKey, ...] = ()
    """Publishers' keys; ``issuer`` is the publisher."""
    withdrawn: tuple[str, ...] = ()
    """SHA-256 digests of bundles that must not be installed, in hex."""
    policies: int = 1


def public_keys(ring: KeyRing) -> tuple[SentKey, ...]:
    """Return the keys of a ring as they are sent."""
    return tuple(
        SentKey(
            key.kid,
            key.issuer,
            key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            key.algorithm.name,
        )
        for key in ring
    )


def publisher_keys(publishers: Publishers) -> tuple[SentKey, ...]:
    """Return the keys of publishers as they are sent."""
    return tuple(
        SentKey(
            kid,
            key.publisher,
            key.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            ES256.name,
        )
        for kid, key in publishers
    )


def publishers_of(frame: KeysFrame) -> Publishers:
    """Return the publishers of a frame; raise ``FrameFault`` for an invalid key."""
    keys = (PublisherKey(str(key.issuer), _load_p256(key.spki)) for key in frame.publishers)
    return Publishers(keys, frame.withdrawn)


def ring_of(keys: tuple[SentKey, ...]) -> KeyRing:
    """Return the ring of the keys of a frame; raise ``FrameFault`` for an invalid key."""
    return KeyRing(map(_verification_key, keys))


def _verification_key(sent: SentKey) -> VerificationKey:
    algorithm, public = ALGORITHMS.get(sent.algorithm), _load(sent.spki)
    if algorithm is None or not algorithm.fits(public):
        raise FrameFault(f"a key is not one for {sent.algorithm}")
    return VerificationKey(sent.kid, public, sent.issuer, algorithm)


def _load_p256(spki: bytes) -> ec.EllipticCurvePublicKey:
    public = _load(spki)
    if not isinstance(public, ec.EllipticCurvePublicKey) or not ES256.fits(public):
        raise FrameFault("a key is not on the curve P-256")
    return public


def _load(spki: bytes) -> PublicKey:
    try:
        return public_half(load_der_public_key(spki))
    except (ValueError, UnsupportedAlgorithm, JwkFault):
        raise FrameFault("a key can't be read") from None
