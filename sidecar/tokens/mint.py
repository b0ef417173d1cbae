"""Signs access tokens with PyJWT, for development and the demo. Never used to serve."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from sidecar.common.errors import Fault
from sidecar.tokens.algorithms import ES256, Algorithm
from sidecar.tokens.jwk import JwkFault, bind_public, public_half, thumbprint

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def read_private_key(
    pem: str, source: str, ask_passphrase: Callable[[str], str] | None = None
) -> ec.EllipticCurvePrivateKey:
    """Read an EC P-256 key; raise ``Fault`` naming ``source``, never the content.

    ``ask_passphrase`` returns the passphrase of an encrypted key; without it such a key is
    denied.
    """
    try:
        key = _load(pem.encode(), source, ask_passphrase)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Fault(f"{source} has no PEM private key, or the passphrase is wrong") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Fault(f"{source} is not an EC key on P-256, which ES256 requires")
    return key


def read_signing_key(
    pem: str, source: str, algorithms: Sequence[Algorithm]
) -> tuple[SigningKey, Algorithm]:
    """Read a private key, and which of the algorithms it signs by; raise ``Fault``."""
    try:
        key = _load(pem.encode(), source, None)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Fault(f"{source} has no PEM private key, or the passphrase is wrong") from exc
    try:
        algorithm = bind_public(public_half(key), algorithms)
    except JwkFault as fault:
        raise Fault(f"{source} can't sign: {fault}") from None
    if not isinstance(key, SigningKey):
        raise Fault(f"{source} is no private key")
    return key, algorithm


def _load(pem: bytes, source: str, ask_passphrase: Callable[[str], str] | None) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:  # it is encrypted
        if ask_passphrase is None:
            raise Fault(f"{source} has no unencrypted PEM private key") from None
        return load_pem_private_key(pem, password=ask_passphrase(source).encode())


def mint_token(
    key: SigningKey,
    *,
    now: float,
    kid: str | None,
    issuer: str,
    audiences: Sequence[str],
    tenant_id: str,
    subject: str,
    roles: Sequence[str] = (),
    ttl_seconds: int = 900,
) -> str:
    """Return an ES256 token that the verifier accepts from ``now`` for ``ttl_seconds``."""
    claims = model_claims(
        now=now,
        issuer=issuer,
        audiences=audiences,
        tenant_id=tenant_id,
        subject=subject,
        roles=roles,
        ttl_seconds=ttl_seconds,
    )
    return sign_token(key, claims, kid=kid)


def model_claims(
    *,
    now: float,
    issuer: str,
    audiences: Sequence[str],
    tenant_id: str,
    subject: str,
    roles: Sequence[str] = (),
    ttl_seconds: int = 900,
) -> dict[str, Any]:
    """Return the claims of the security model, good from ``now`` (Unix seconds)."""
    issued_at = int(now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": list(audiences),
        "sub": subject,
        "tenantId": tenant_id,
        "jti": str(uuid.uuid4()),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + ttl_seconds,
    }
    if roles:
        claims["roles"] = list(roles)
    return claims


def sign_token(
    key: SigningKey,
    claims: Mapping[str, Any],
    *,
    kid: str | None,
    typ: str | None = "at+jwt",
    algorithm: Algorithm = ES256,
) -> str:
    """Sign claims; ``None`` leaves the header's ``typ`` out."""
    headers = {"typ": typ, "kid": kid or thumbprint(key.public_key())}
    return _jws.encode(json.dumps(claims).encode(), key, algorithm.name, headers)


_jws = jwt.PyJWS()
_jws.register_algorithm("Ed25519", OKPAlgorithm())
"""PyJWT knows it by its old name, EdDSA."""
