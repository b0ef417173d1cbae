"""What a JWK says of itself decides what it is used for (RFC 7517 §4)."""

from typing import Any

import jwt
import pytest

from sidecar.tokens.jwk import fits_es256, public_members, thumbprint
from tests.support.minting import Issuer

ISSUER = Issuer.generate()
GOOD = {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}
ROWS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"alg": "ES256", "use": "sig", "key_ops": ["verify"]}, True),
    ({"key_ops": ["sign"]}, True),
    ({"key_ops": ["sign", "verify"]}, True),
    ({"key_ops": []}, False),
    ({"key_ops": ["encrypt"]}, False),
    ({"key_ops": "verify"}, False),
    ({"key_ops": None}, False),
    ({"use": "enc"}, False),
    ({"use": None}, False),
    ({"alg": "ES384"}, False),
    ({"alg": None}, False),
    ({"kty": "RSA"}, False),
    ({"kty": None}, False),
    ({"crv": "P-384"}, False),
    ({"crv": None}, False),
]


@pytest.mark.parametrize(("changes", "fits"), ROWS)
def test_rows(changes: dict[str, Any], fits: bool) -> None:
    assert fits_es256({**GOOD, **changes}) is fits


def test_the_private_half_and_all_else_stays_behind() -> None:
    assert public_members({**GOOD, "d": "secret", "kid": "k"}) == GOOD


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """PyJWT reads the key that the RFC's sum is made of, with an encoder of its own."""
    members = jwt.algorithms.ECAlgorithm.to_jwk(ISSUER.private.public_key(), as_dict=True)
    print_ = thumbprint(ISSUER.private.public_key())
    assert thumbprint(jwt.PyJWK({**members, "alg": "ES256"}).key) == print_
    assert len(print_) == 43
    assert thumbprint(Issuer.generate().private.public_key()) != print_
