"""What is read as a key, and what is refused."""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from sidecar.config import model
from sidecar.keys.sources import KeyFault, TransitKeySource, parse_keys
from sidecar.tokens.jwk import thumbprint
from sidecar.vault.answers import TransitKey

KEY = ec.generate_private_key(ec.SECP256R1())
KID = thumbprint(KEY.public_key())
PRIVATE_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SEC1_PEM = KEY.private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
).decode()
PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
EC_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
PUBLIC_JWK: dict[str, Any] = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
PRIVATE_JWK: dict[str, Any] = ECAlgorithm.to_jwk(KEY, as_dict=True)
RSA_JWK = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}


def jwk(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**PUBLIC_JWK, **changes}.items() if value is not None}


def pem_of(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[no-any-return]


GOOD = [
    ("private PEM", PRIVATE_PEM, [KID]),
    ("private PEM, SEC 1", SEC1_PEM, [KID]),
    ("public PEM", PUBLIC_PEM, [KID]),
    ("PEM with white space around", f"\n  {PUBLIC_PEM}\n\n", [KID]),
    ("both halves of one key", PRIVATE_PEM + PUBLIC_PEM, [KID]),
    ("PEM with its parameters", EC_PARAMETERS + SEC1_PEM, [KID]),
    ("JWK", json.dumps(jwk(kid="k1")), ["k1"]),
    ("private JWK", json.dumps({**PRIVATE_JWK, "kid": "k1"}), ["k1"]),
    ("JWK without kid", json.dumps(jwk()), [KID]),
    ("JWK for signatures", json.dumps(jwk(use="sig", alg="ES256", key_ops=["verify"])), [KID]),
    ("JWKS", json.dumps({"keys": [jwk(kid="a"), jwk(kid="b")]}), ["a", "b"]),
    ("JWKS with one key twice", json.dumps({"keys": [jwk(kid="a"), jwk(kid="a")]}), ["a"]),
    ("JWKS with an odd key", json.dumps({"keys": [jwk(kid="b", x="A"), jwk(kid="a")]}), ["a"]),
    ("JWKS with keys of other kinds", json.dumps({"keys": [RSA_JWK, jwk(kid="a")]}), ["a"]),
    (
        "JWKS with a key for encryption",
        json.dumps({"keys": [jwk(kid="e", use="enc"), jwk(kid="a")]}),
        ["a"],
    ),
]
BAD = [
    ("empty", "", "neither PEM nor"),
    ("text", "hello", "neither PEM nor"),
    ("half a PEM", PRIVATE_PEM[:80], "not valid PEM"),
    (
        "encrypted PEM",
        KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        ).decode(),
        "unencrypted",
    ),
    ("a good PEM and half a PEM", PUBLIC_PEM + PRIVATE_PEM[:80], "incomplete"),
    ("parameters alone", EC_PARAMETERS, "must hold 1 to"),
    ("PEM openings without end", "-----BEGIN PUBLIC KEY-----\n" * 30_000, "incomplete"),
    ("RSA PEM", pem_of(rsa.generate_private_key(65537, 2048)), "not for ES256"),
    ("P-384 PEM", pem_of(ec.generate_private_key(ec.SECP384R1())), "not for ES256"),
    ("Ed25519 PEM", pem_of(ed25519.Ed25519PrivateKey.generate()), "not for ES256"),
    ("half a JSON", "{", "not JSON"),
    ("deep JSON", '{"keys":' * 100_000, "not JSON"),
    ("JWKS without keys", '{"keys":[]}', "no key for ES256"),
    ("keys no array", '{"keys":{}}', "must be an array"),
    ("too many", json.dumps({"keys": [jwk(kid=str(n)) for n in range(257)]}), "at most 256"),
    ("only RSA", json.dumps({"keys": [RSA_JWK]}), "no key for ES256"),
    ("for encryption", json.dumps(jwk(use="enc")), "no key for ES256"),
    ("for another algorithm", json.dumps(jwk(alg="ES384")), "no key for ES256"),
    ("for deriving", json.dumps(jwk(key_ops=["deriveKey"])), "no key for ES256"),
    ("key_ops no array", json.dumps(jwk(key_ops="verify")), "no key for ES256"),
    ("off the curve", json.dumps(jwk(x="AAAA")), "its (x|y)"),
    ("no y", json.dumps(jwk(y=None)), "its (x|y)"),
    ("a number for x", json.dumps(jwk(x=5)), "its (x|y)"),
    ("kid no text", json.dumps(jwk(kid=5)), "kid is not text"),
    ("kid that is no Unicode", json.dumps(jwk(kid="\ud800")), "kid is not text"),
    ("kid of two lines", json.dumps(jwk(kid="a\nb")), "kid is not text"),
    ("kid too long", json.dumps(jwk(kid="k" * 257)), "kid is not text"),
    (
        "odd keys alone",
        json.dumps({"keys": [jwk(kid="a", x="AAAA"), jwk(kid="b", y=None), *({"kid": "c"},) * 3]}),
        r"no key for ES256 \(a: its x .*; b: its y .*; c: .*; and 2 more\)",
    ),
    ("too large", "{" + " " * 1_048_576, "more than"),
]


@pytest.mark.parametrize(("text", "kids"), [g[1:] for g in GOOD], ids=[g[0] for g in GOOD])
def test_keys_are_read_and_only_their_public_half_kept(text: str, kids: list[str]) -> None:
    keys = parse_keys(text, "https://iam")
    assert [key.kid for key in keys] == kids
    for key in keys:
        assert type(key.public).__name__.endswith("PublicKey")
        assert key.public == KEY.public_key()
        assert key.algorithm.name == "ES256"
        assert key.issuer == "https://iam"


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_no_key(text: str, said: str) -> None:
    with pytest.raises(KeyFault, match=said) as fault:
        parse_keys(text, None)
    assert fault.value.__cause__ is None


def test_two_keys_of_a_rotation_stand_in_one_text() -> None:
    """None is passed over in silence: its tokens would be refused."""
    other = ec.generate_private_key(ec.SECP256R1())
    kids = [key.kid for key in parse_keys(PUBLIC_PEM + pem_of(other), "i")]
    assert kids == [KID, thumbprint(other.public_key())]


def test_the_thumbprint_is_rfc_7638s() -> None:
    """An independent computation of the same key's thumbprint."""
    x, y = PUBLIC_JWK["x"], PUBLIC_JWK["y"]
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    assert urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode() == KID


@given(
    st.one_of(
        st.text(max_size=200),
        st.text(max_size=200).map(lambda t: "{" + t),
        st.text(max_size=99).map(lambda t: f"-----BEGIN {t}"),
    )
)
def test_no_text_gets_past_with_another_exception(text: str) -> None:
    with pytest.raises(KeyFault):
        parse_keys(text, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "d", "kid", "use", "alg", "key_ops"]), JSON
    )
)
def test_no_jwk_gets_past_with_another_exception(changes: dict[str, Any]) -> None:
    try:
        parse_keys(json.dumps({**PUBLIC_JWK, **changes}), None)
    except KeyFault:
        return


class Vault:
    """A Vault that has one transit key."""

    def __init__(self, transit: TransitKey) -> None:
        self.transit = transit

    async def read_transit_key(self, mount: str, name: str) -> TransitKey:
        assert (mount, name) == ("transit", "jwt")
        return self.transit


def transit(kind: str = "ecdsa-p256", min_version: int = 2) -> TransitKeySource:
    pems = dict.fromkeys((1, 2, 3), PUBLIC_PEM)
    key = TransitKey(kind=kind, public_pems=pems, min_version=min_version, latest_version=3)
    return TransitKeySource(model.VaultTransitKeys(name="jwt"), "i", Vault(key))


async def test_transit_versions_from_the_lowest_allowed_up() -> None:
    kids = [key.kid for key in (await transit().fetch()).keys]
    assert kids == [KID, "jwt-v2", KID, "jwt-v3"]


async def test_a_transit_key_of_another_type() -> None:
    with pytest.raises(KeyFault, match="is of type rsa-2048"):
        await transit(kind="rsa-2048").fetch()
