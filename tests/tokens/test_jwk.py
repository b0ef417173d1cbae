"""What a JWK says of itself decides whether it may verify."""

from typing import Any

import jwt
import pytest

from sidecar.tokens.jwk import fits_es256, public_members, thumbprint
from tests.support.minting import Issuer

ISSUER = Issuer.generate()
GOOD: dict[str, Any] = {"kty": "EC", "crv": "P-256", "x": "…", "y": "…"}
SAID: list[tuple[str, dict[str, Any], bool]] = [
    ("no more than it must", {}, True),
    ("for ES256, for signatures", {"alg": "ES256", "use": "sig", "key_ops": ["verify"]}, True),
    ("a private key's operation", {"key_ops": ["sign"]}, True),
    ("another curve", {"crv": "P-384"}, False),
    ("secp256k1", {"crv": "secp256k1"}, False),
    ("another type", {"kty": "RSA"}, False),
    ("another algorithm", {"alg": "ES384"}, False),
    ("an algorithm in small letters", {"alg": "es256"}, False),
    ("no algorithm, but null", {"alg": None}, False),
    ("for encryption", {"use": "enc"}, False),
    ("for other operations", {"key_ops": ["deriveKey"]}, False),
    ("for no operation", {"key_ops": []}, False),
    ("operations that are no list", {"key_ops": "verify"}, False),
]


@pytest.mark.parametrize(("said", "fits"), [r[1:] for r in SAID], ids=[r[0] for r in SAID])
def test_fits(said: dict[str, Any], fits: bool) -> None:
    assert fits_es256(GOOD | said) is fits


def test_of_a_private_key_the_public_half_is_kept() -> None:
    whole = {**GOOD, "d": "the secret", "kid": "k", "oth": []}
    assert public_members(whole) == GOOD


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """PyJWT reads the key that the RFC's sum is made of, with an encoder of its own."""
    members = jwt.algorithms.ECAlgorithm.to_jwk(ISSUER.private.public_key(), as_dict=True)
    print_ = thumbprint(ISSUER.private.public_key())
    assert thumbprint(jwt.PyJWK({**members, "alg": "ES256"}).key) == print_
    assert len(print_) == 43
    assert thumbprint(Issuer.generate().private.public_key()) != print_
