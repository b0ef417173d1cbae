"""Keys and signatures of every algorithm; PyJWT signs, as an independent hand."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.keyring import VerificationKey
from tests.support.minting import ISSUER, b64, base_claims

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return an RSA key; making one takes a tenth of a second, so it is made once."""
    return _rsa_key(bits, number)


def private_key(algorithm: str, number: int = 0) -> PrivateKey:
    """Return the key of an algorithm; other numbers are other keys."""
    if ALGORITHMS[algorithm].kty == "RSA":
        return _rsa_key(2048, number)
    return _small_key(algorithm, number)


@cache
def _rsa_key(bits: int, number: int) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(65537, bits)


@cache
def _small_key(algorithm: str, number: int) -> PrivateKey:
    del number
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate()


def verification_key(
    algorithm: str, *, kid: str = "key-1", issuer: str = ISSUER, number: int = 0
) -> VerificationKey:
    """Return the public half, bound to the algorithm."""
    public = private_key(algorithm, number).public_key()
    return VerificationKey(kid, public, issuer, ALGORITHMS[algorithm])


def sign(
    algorithm: str, header: Mapping[str, Any] | None = None, *, number: int = 0, **claims: Any
) -> bytes:
    """Sign the good claims, changed; ``None`` removes a parameter or a claim."""
    named = {"typ": "JWT", "kid": "key-1", "alg": algorithm, **(header or {})}
    head = {name: value for name, value in named.items() if value is not None}
    return sign_parts(algorithm, head, base_claims(**claims), number=number)


def sign_parts(
    algorithm: str, header: Mapping[str, Any], payload: Mapping[str, Any], *, number: int = 0
) -> bytes:
    """Sign any header and payload, whatever they say."""
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, payload)).encode()
    by = jwt.get_algorithm_by_name("EdDSA" if algorithm == "Ed25519" else algorithm)
    return signed + b"." + b64(by.sign(signed, private_key(algorithm, number))).encode()
