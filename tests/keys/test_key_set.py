"""Which keys of a JWK Set are used, and why the others are not (RFC 7517 §5)."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from sidecar.keys.key_set import SkipReason, read_key_set
from sidecar.tokens.algorithms import ALGORITHMS
from tests.keys.test_sources import JSON, PRIVATE_JWK, jwk

OTHER: dict[str, Any] = ECAlgorithm.to_jwk(
    ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True
)
RSA: dict[str, Any] = RSAAlgorithm.to_jwk(
    rsa.generate_private_key(65537, 2048).public_key(), as_dict=True
)
RSA.pop("key_ops")
GOOD = jwk(kid="good")
ES256 = ("ES256",)
BOTH_RSA = ("ES256", "RS256", "PS256")
UNUSABLE, OTHER_USE = SkipReason.UNUSABLE, SkipReason.OTHER_USE
PRIVATE, TWIN = SkipReason.PRIVATE, SkipReason.TWIN_KID
ODD: list[tuple[str, object, tuple[str, ...], str, SkipReason, str]] = [
    ("off the curve", jwk(kid="odd", x=OTHER["x"]), ES256, "odd", UNUSABLE, "not a point on P-256"),
    ("a short coordinate", jwk(kid="odd", x="AAAA"), ES256, "odd", UNUSABLE, "must have 32 bytes"),
    ("padding", jwk(kid="odd", x=GOOD["x"] + "="), ES256, "odd", UNUSABLE, "its x is not base64"),
    ("without y", jwk(kid="odd", y=None), ES256, "odd", UNUSABLE, "its y is not base64url"),
    ("a number as kid", jwk(kid=5), ES256, "number 1", UNUSABLE, "its kid is not text"),
    ("a list as kid", jwk(kid=["a"]), ES256, "number 1", UNUSABLE, "its kid is not text"),
    ("an empty kid", jwk(kid=""), ES256, "number 1", UNUSABLE, "its kid is not text"),
    ("a kid of two lines", jwk(kid="a\nb"), ES256, r"a\u000ab", UNUSABLE, "its kid is not text"),
    ("a weak RSA key", {**RSA, "n": RSA["n"][:168], "kid": "odd"}, ("RS256",), "odd", UNUSABLE,
     "its modulus has"),
    ("RSA for either", {**RSA, "kid": "odd"}, BOTH_RSA, "odd", UNUSABLE, "it names no alg"),
    ("no object", "text", ES256, "number 1", UNUSABLE, "it is not an object"),
    ("null", None, ES256, "number 1", UNUSABLE, "it is not an object"),
    ("for encryption", {**RSA, "kid": "odd", "use": "enc", "alg": "RSA-OAEP"}, BOTH_RSA, "odd",
     OTHER_USE, "its use is not sig"),
    ("for another algorithm", {**RSA, "kid": "odd", "alg": "RS256"}, ES256, "odd", OTHER_USE,
     "not for ES256"),
    ("for deriving", jwk(kid="odd", key_ops=["deriveKey"]), ES256, "odd", OTHER_USE, "key_ops"),
    ("of an unknown type", {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "odd"}, ES256,
     "odd", OTHER_USE, "not for ES256"),
    ("of no type", {"kid": "odd"}, ES256, "odd", OTHER_USE, "not for ES256"),
    ("a type that is a list", jwk(kid="odd", kty=["EC"]), ES256, "odd", OTHER_USE, "not for"),
    ("a secret", {"kty": "oct", "k": "c2VjcmV0", "kid": "odd"}, ES256, "odd", PRIVATE, "a secret"),
    ("a secret for HS256", {"kty": "oct", "alg": "HS256", "kid": "odd"}, ES256, "odd", PRIVATE,
     "a secret"),
    ("its private half", {**PRIVATE_JWK, "kid": "odd"}, ES256, "odd", PRIVATE, "private half"),
]  # fmt: skip


def names(listed: list[object], *algorithms: str, is_published: bool = True) -> list[str]:
    found = read_key_set(
        listed, "i", [ALGORITHMS[n] for n in algorithms or ES256], is_published=is_published
    )
    return [key.kid for key in found.keys]


@pytest.mark.parametrize(
    ("odd", "algorithms", "name", "reason", "why"),
    [row[1:] for row in ODD],
    ids=[row[0] for row in ODD],
)
def test_one_odd_key_is_named_and_the_rest_is_used(
    odd: object, algorithms: tuple[str, ...], name: str, reason: SkipReason, why: str
) -> None:
    allowed = [ALGORITHMS[each] for each in dict.fromkeys((*algorithms, "ES256"))]
    found = read_key_set([odd, GOOD], "i", allowed, is_published=True)
    assert [key.kid for key in found.keys] == ["good"]
    (skipped,) = found.skipped
    assert (skipped.name, skipped.reason) == (name, reason)
    assert why in skipped.why


def test_of_two_keys_with_one_kid_neither_is_used() -> None:
    """Which of them a token's kid means nobody could tell."""
    twins = [jwk(kid="twin"), {**OTHER, "kid": "twin"}]
    found = read_key_set([*twins, GOOD], "i", [ALGORITHMS["ES256"]], is_published=True)
    assert [key.kid for key in found.keys] == ["good"]
    assert [(each.name, each.reason) for each in found.skipped] == [("twin", TWIN)]
    assert found.distrusted == {"twin"}


def test_one_key_listed_twice_is_one_key() -> None:
    assert names([GOOD, {**GOOD, "use": "sig"}, GOOD]) == ["good"]


def test_one_key_under_two_algorithms_is_two_keys() -> None:
    pair = [{**RSA, "kid": "r", "alg": "RS256"}, {**RSA, "kid": "r", "alg": "PS256"}]
    assert names([*pair, GOOD], "ES256", "RS256", "PS256") == ["good"]
    assert names([*pair, GOOD], "ES256", "PS256") == ["r", "good"]


def test_a_key_for_something_else_takes_no_kid() -> None:
    encryption = {**RSA, "kid": "good", "use": "enc"}
    assert names([encryption, GOOD], "ES256", "RS256") == ["good"]


@pytest.mark.parametrize("certificate", [{"x5c": "?"}, {"x5c": [1]}, {"x5t": 5}, {"x5u": "file:"}])
def test_nonsense_about_certificates_harms_nothing(certificate: dict[str, object]) -> None:
    assert names([{**GOOD, **certificate}]) == ["good"]


def test_a_private_key_is_the_public_half_where_nobody_can_read_it() -> None:
    """In Vault a signing key may stand whole; what everybody can read verifies nothing."""
    assert names([{**PRIVATE_JWK, "kid": "k"}], is_published=False) == ["k"]
    assert names([{**PRIVATE_JWK, "kid": "k"}], is_published=True) == []
    listed = [{**PRIVATE_JWK, "kid": "k"}]
    found = read_key_set(listed, "i", [ALGORITHMS["ES256"]], is_published=True)
    assert found.distrusted == {"k"}


@given(st.lists(JSON | st.just(GOOD), max_size=4), st.sampled_from([ES256, BOTH_RSA]))
def test_any_list_is_read(listed: list[object], algorithms: tuple[str, ...]) -> None:
    found = read_key_set(listed, "i", [ALGORITHMS[n] for n in algorithms], is_published=True)
    assert {key.kid for key in found.keys} == ({"good"} if GOOD in listed else set())
