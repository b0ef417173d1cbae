"""Which keys are sent, and which are refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.key_frames import SentKey, public_keys, ring_of
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.keyring import KeyRing, VerificationKey
from tests.support.algorithms import private_key
from tests.support.minting import ISSUER, Issuer


def test_a_ring_is_sent_as_public_keys(issuer: Issuer) -> None:
    sent = public_keys(issuer.ring)
    public = issuer.private.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert sent == (SentKey("key-1", ISSUER, der, "ES256"),)
    assert list(ring_of(sent)) == list(issuer.ring)


def other_keys() -> dict[str, bytes]:
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return {
        "another curve": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*spki),
        "another kind": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*spki),
        "garbage": b"\x30\x00",
    }


@pytest.mark.parametrize("name", ["another curve", "another kind", "garbage"])
def test_only_keys_of_their_algorithm_come_into_a_ring(name: str) -> None:
    with pytest.raises(FrameFault, match=r"a key (can't|is not)"):
        ring_of((SentKey("k", ISSUER, other_keys()[name], "ES256"),))


def test_a_key_of_no_algorithm_does_not_come_into_a_ring(issuer: Issuer) -> None:
    (sent,) = public_keys(issuer.ring)
    with pytest.raises(FrameFault, match="a key is not one for HS256"):
        ring_of((SentKey(sent.kid, ISSUER, sent.spki, "HS256"),))


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_ring_of_each_algorithm_arrives_as_it_was_sent(name: str) -> None:
    public = private_key(name).public_key()
    ring = KeyRing([VerificationKey("k", public, ISSUER, ALGORITHMS[name])])
    assert list(ring_of(public_keys(ring))) == list(ring)
