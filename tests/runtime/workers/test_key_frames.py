"""Which keys are sent, and which are refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.key_frames import PublicKey, public_keys, ring_of
from tests.support.minting import ISSUER, Issuer


def test_a_ring_is_sent_as_public_keys(issuer: Issuer) -> None:
    sent = public_keys(issuer.ring)
    public = issuer.private.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert sent == (PublicKey("key-1", ISSUER, der),)
    assert list(ring_of(sent)) == list(issuer.ring)


def other_keys() -> dict[str, bytes]:
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return {
        "another curve": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*spki),
        "another kind": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*spki),
        "garbage": b"\x30\x00",
    }


@pytest.mark.parametrize("name", ["another curve", "another kind", "garbage"])
def test_only_keys_on_p256_come_into_a_ring(name: str) -> None:
    with pytest.raises(FrameFault, match=r"a key (can't|is not)"):
        ring_of((PublicKey("k", ISSUER, other_keys()[name]),))
