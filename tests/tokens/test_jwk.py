"""What a JWK is used for, and which keys are none (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2)."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.jwk import JwkFault, bind_jwk, bind_public, public_half, read_jwk, thumbprint
from tests.support.algorithms import private_key, rsa_key
from tests.support.minting import Issuer

ISSUER = Issuer.generate()


def members_of(key: Any) -> dict[str, Any]:
    """Return a key as a JWK, written by PyJWT."""
    algorithms = jwt.algorithms
    writers: list[tuple[Any, Any]] = [
        ((ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey), algorithms.ECAlgorithm),
        ((rsa.RSAPublicKey, rsa.RSAPrivateKey), algorithms.RSAAlgorithm),
        (object, algorithms.OKPAlgorithm),
    ]
    writer = next(writer for kinds, writer in writers if isinstance(key, kinds))
    members: dict[str, Any] = writer.to_jwk(key, as_dict=True)
    members.pop("key_ops", None)
    return members


NAMED = {"EC": "ES256", "P-384": "ES384", "P-521": "ES512", "RSA": "RS256", "OKP": "EdDSA"}
JWKS: Mapping[str, dict[str, Any]] = {
    kind: members_of(private_key(name).public_key()) for kind, name in NAMED.items()
}
EVERY = tuple(ALGORITHMS)


def b64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def allowed(*names: str) -> list[Any]:
    return [ALGORITHMS[name] for name in names]


BOUND: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("EC", {}, ("ES256",), "ES256"),
    ("EC", {}, EVERY, "ES256"),
    ("EC", {"alg": "ES256", "use": "sig", "key_ops": ["verify"]}, ("ES256",), "ES256"),
    ("EC", {"key_ops": ["sign"]}, ("ES256",), "ES256"),
    ("P-384", {}, EVERY, "ES384"),
    ("P-521", {}, EVERY, "ES512"),
    ("RSA", {}, ("RS256",), "RS256"),
    ("RSA", {}, ("ES256", "PS384"), "PS384"),
    ("RSA", {"alg": "PS512"}, EVERY, "PS512"),
    ("OKP", {}, ("EdDSA",), "EdDSA"),
    ("OKP", {"alg": "Ed25519"}, EVERY, "Ed25519"),
]


@pytest.mark.parametrize(("kind", "changes", "names", "name"), BOUND)
def test_a_key_is_bound_to_one_algorithm(
    kind: str, changes: dict[str, Any], names: tuple[str, ...], name: str
) -> None:
    key = read_jwk({**JWKS[kind], **changes}, "i", allowed(*names))
    assert (key.algorithm.name, key.issuer) == (name, "i")
    assert key.kid == thumbprint(key.public)


UNBOUND: list[tuple[str, dict[str, Any], tuple[str, ...], str]] = [
    ("EC", {"key_ops": []}, EVERY, "key_ops"),
    ("EC", {"key_ops": ["encrypt"]}, EVERY, "key_ops"),
    ("EC", {"key_ops": "verify"}, EVERY, "key_ops"),
    ("EC", {"key_ops": None}, EVERY, "key_ops"),
    ("EC", {"use": "enc"}, EVERY, "use"),
    ("EC", {"use": None}, EVERY, "use"),
    ("EC", {"alg": "ES384"}, EVERY, "not for"),
    ("EC", {"alg": None}, EVERY, "not for"),
    ("EC", {"alg": ["ES256"]}, EVERY, "not for"),
    ("EC", {"kty": "RSA"}, ("ES256",), "not for ES256"),
    ("EC", {"kty": None}, EVERY, "not for"),
    ("EC", {"kty": ["EC"]}, EVERY, "not for"),
    ("EC", {"kty": "oct"}, EVERY, "not for"),
    ("EC", {"crv": "P-384"}, ("ES256",), "not for ES256"),
    ("EC", {"crv": None}, EVERY, "not for"),
    ("EC", {"crv": ["P-256"]}, EVERY, "not for"),
    ("EC", {"crv": "secp256k1"}, EVERY, "not for"),
    ("EC", {}, ("RS256", "EdDSA"), "not for RS256 or EdDSA"),
    ("RSA", {}, ("RS256", "PS256"), "names no alg, and RS256 and PS256 are allowed"),
    ("RSA", {"alg": "HS256"}, EVERY, "not for"),
    ("RSA", {"alg": "RSA-OAEP"}, EVERY, "not for"),
    ("RSA", {"alg": "RS256"}, ("PS256",), "not for PS256"),
    ("RSA", {"alg": "ES256"}, EVERY, "not for"),
    ("OKP", {}, ("EdDSA", "Ed25519"), "names no alg, and EdDSA and Ed25519 are allowed"),
    ("OKP", {"crv": "X25519"}, EVERY, "not for"),
    ("OKP", {"crv": "Ed448"}, EVERY, "not for"),
]


@pytest.mark.parametrize(("kind", "changes", "names", "why"), UNBOUND)
def test_a_key_for_something_else_is_bound_to_none(
    kind: str, changes: dict[str, Any], names: tuple[str, ...], why: str
) -> None:
    with pytest.raises(JwkFault, match=why):
        bind_jwk({**JWKS[kind], **changes}, allowed(*names))


N = rsa_key().public_key().public_numbers().n
BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("off the curve", "EC", {"x": JWKS["EC"]["y"]}, "not a point on P-256"),
    ("a short x", "EC", {"x": "AAAA"}, "not a point on P-256: they must have 32 bytes"),
    ("a long x", "EC", {"x": "AAAA" + JWKS["EC"]["x"]}, "not a point on P-256"),
    ("no y", "EC", {"y": None}, "its y is not base64url"),
    ("a number", "EC", {"x": 5}, "its x is not base64url"),
    ("padded", "EC", {"x": JWKS["EC"]["x"] + "="}, "without padding"),
    ("not ASCII", "EC", {"x": "é"}, "its x is not base64url"),
    ("another curve's point", "P-384", {"x": JWKS["EC"]["x"], "y": JWKS["EC"]["y"]}, "48 bytes"),
    ("the point at infinity", "EC", {"x": "A" * 43, "y": "A" * 43}, "not a point"),
    ("2047 bits", "RSA", {"n": b64(N >> 1 | 1)}, "its modulus has 2047 bits"),
    ("1024 bits", "RSA", {"n": b64(N >> 1024 | 1)}, "its modulus has 1024 bits"),
    ("zeros before 1024 bits", "RSA", {"n": "A" * 172 + b64(N >> 1024 | 1)}, "has 1024 bits"),
    ("8193 bits", "RSA", {"n": b64(1 << 8192 | 1)}, "its modulus has 8193 bits"),
    ("too long to be read", "RSA", {"n": "A" * 2049}, "of at most 2048 characters"),
    ("an even modulus", "RSA", {"n": b64(N - 1)}, "its modulus is even"),
    ("the exponent 1", "RSA", {"e": b64(1)}, "its exponent"),
    ("the exponent 2", "RSA", {"e": b64(2)}, "its exponent"),
    ("an even exponent", "RSA", {"e": b64(65536)}, "its exponent"),
    ("no exponent", "RSA", {"e": None}, "its e is not base64url"),
    ("an exponent of 33 bits", "RSA", {"e": b64(1 << 32 | 1)}, "its exponent"),
    ("31 bytes", "OKP", {"x": "A" * 42}, "its x"),
    ("no point", "OKP", {"x": "Ag" + "A" * 41}, "its x is not a point"),
    ("kid no text", "EC", {"kid": 5}, "kid is not text"),
    ("kid too long", "EC", {"kid": "k" * 257}, "kid is not text"),
    ("kid of two lines", "EC", {"kid": "a\nb"}, "kid is not text"),
]


@pytest.mark.parametrize(
    ("kind", "changes", "why"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_what_is_no_key_or_a_weak_one(kind: str, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(JwkFault, match=why):
        read_jwk({**JWKS[kind], **changes}, None, allowed(NAMED[kind]))


P = 2**255 - 19
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
"""The y of two of the four points of order 8; the others have p - y."""
SMALL = {
    "the identity": 1,
    "order 2": P - 1,
    "order 4": 0,
    "order 8": Y8,
    "order 8, negated": P - Y8,
    "the identity beyond the field": P + 1,
    "order 4 beyond the field": P,
}


@pytest.mark.parametrize("y", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_key_of_small_order_is_refused(y: int, sign: int) -> None:
    """Under the identity, OpenSSL takes one signature for every message."""
    raw = (y | sign << 255).to_bytes(32, "little")
    x = urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises(JwkFault, match="its x is"):
        read_jwk({"kty": "OKP", "crv": "Ed25519", "x": x}, None, allowed("EdDSA"))


@pytest.mark.parametrize("number", range(8))
def test_ordinary_ed25519_keys_are_read(number: int) -> None:
    public = private_key("EdDSA", number).public_key()
    assert read_jwk(members_of(public), None, allowed("EdDSA")).public == public


def test_the_private_half_stays_behind() -> None:
    assert read_jwk(members_of(ISSUER.private), None).public == ISSUER.private.public_key()


def test_what_openssl_read_has_a_public_half() -> None:
    for name in ALGORITHMS:
        key = private_key(name)
        assert public_half(key) == public_half(key.public_key()) == key.public_key()
        algorithm = ALGORITHMS[name]
        assert bind_public(key.public_key(), [algorithm]) == algorithm


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (ed448.Ed448PrivateKey.generate(), "of a type"),
        (ec.generate_private_key(ec.SECP256K1()), "of a type"),
        (rsa.generate_private_key(65537, 1024), "its modulus has 1024 bits"),  # noqa: S505
    ],
    ids=["Ed448", "secp256k1", "RSA of 1024 bits"],
)
def test_what_openssl_read_and_tokens_do_not_use(key: object, why: str) -> None:
    with pytest.raises(JwkFault, match=why):
        public_half(key)


@pytest.mark.parametrize("kind", JWKS)
def test_the_thumbprint_is_that_of_rfc_7638(kind: str) -> None:
    """PyJWT's members of the key, sorted and without white space, give the same print."""
    text = json.dumps(JWKS[kind], sort_keys=True, separators=(",", ":"))
    print_ = thumbprint(private_key(NAMED[kind]).public_key())
    digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    assert digest.rstrip(b"=").decode() == print_
    assert len(print_) == 43
    assert thumbprint(Issuer.generate().private.public_key()) != print_


def test_the_thumbprint_of_the_rfcs_own_rsa_key() -> None:
    """RFC 7638 §3.1."""
    n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"  # noqa: E501
    key = read_jwk({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256"}, None, allowed("RS256"))
    assert key.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_rsa_keys_of_the_bounds_are_read() -> None:
    for bits in (2048, 3072):
        public = rsa_key(bits).public_key()
        assert read_jwk(members_of(public), None, allowed("RS256")).public == public
