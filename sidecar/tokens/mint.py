"""Signs access tokens with PyJWT, for development and the demo. Never used to serve."""

import uuid
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.errors import Fault
from sidecar.keys.jwk import thumbprint


def read_private_key(pem: str, source: str) -> ec.EllipticCurvePrivateKey:
    """Read an unencrypted EC P-256 key; raises ``Fault`` naming ``source``, never the content."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as exc:
        raise Fault(f"{source} holds no unencrypted PEM private key") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Fault(f"{source} is not an EC key on P-256: ES256 signs with no other")
    return key


def mint_token(
    key: ec.EllipticCurvePrivateKey,
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
    """Return a token that the verifier accepts from ``now`` for ``ttl_seconds``."""
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
    headers = {"typ": "at+jwt", "kid": kid or thumbprint(key.public_key())}
    return jwt.encode(claims, key, "ES256", headers)
