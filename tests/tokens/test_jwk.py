"""What a JWK says of itself decides what it is used for (RFC 7517 §4)."""

from typing import Any

import pytest

from sidecar.tokens.jwk import fits_es256, public_members

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
