"""Each kind of token is wrong in the one way that its name says, by another library's reading."""

import jwt
import pytest

from bench.soak.asks import CREDENTIALS
from bench.soak.settings import AUDIENCE, ISSUERS
from bench.soak.tokens import SigningKey, mint, thumbprint
from bench.soak.world import identity_of
from sidecar.tokens.jwk import thumbprint as of_the_sidecar
from tests.bench.soak.test_oracle import ASK
from tests.support.minting import NOW

KEY = SigningKey.generate()
GOOD = {"good", "old_key", "revoked", "twice", "basic", "too_long", "refresh", "too_large"}
"""Tokens whose signature and registered claims hold; the sidecar has rules of its own."""


def read(kind: str) -> str:
    ask = ASK._replace(credential=kind)
    token = mint(ask, identity_of(ask), KEY, NOW)
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        if kid != KEY.kid:
            return "unknown key"
        jwt.decode(
            token, KEY.private.public_key(), ["ES256"], audience=AUDIENCE, issuer=ISSUERS[0],
            options={"require": ["sub", "jti"], "verify_exp": False, "verify_nbf": False,
                     "verify_iat": False},
        )  # fmt: skip
    except jwt.PyJWTError as exc:
        return type(exc).__name__
    return "good"


ROWS = {
    "forged": "InvalidSignatureError", "unknown_key": "unknown key",
    "unsigned": "InvalidAlgorithmError", "confused": "InvalidAlgorithmError",
    "wrong_audience": "InvalidAudienceError", "wrong_issuer": "InvalidIssuerError",
    "malformed": "DecodeError", "no_subject": "MissingRequiredClaimError",
    "expired": "good", "early": "good",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(set(CREDENTIALS) - {"none"}))
def test_what_is_wrong(kind: str) -> None:
    assert read(kind) == ROWS.get(kind, "good")
    assert (kind in ROWS) != (kind in GOOD)


@pytest.mark.parametrize(("kind", "name", "offset"), [("expired", "exp", -1), ("early", "nbf", 1)])
def test_times(kind: str, name: str, offset: int) -> None:
    ask = ASK._replace(credential=kind)
    claims = jwt.decode(mint(ask, identity_of(ask), KEY, NOW), options={"verify_signature": False})
    assert (claims[name] - NOW) * offset > 60


def test_the_kid_is_the_one_that_the_sidecar_will_find() -> None:
    assert thumbprint(KEY.private.public_key()) == of_the_sidecar(KEY.private.public_key())
