"""Signs access tokens with PyJWT, for development and the demo. Never used to serve."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.common.errors import Fault
from sidecar.tokens.jwk import thumbprint


def read_private_key(
    pem: str, source: str, ask_passphrase: Callable[[str], str] | None = None
) -> ec.EllipticCurvePrivateKey:
    """Read an EC P-256 key; raise ``Fault`` naming ``source``, never the content.

    ``ask_passphrase`` returns the passphrase of an encrypted key; without it such a key is
    refused.
    """
    try:
        key = _load(pem.encode(), source, ask_passphrase)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Fault(f"{source} has no PEM private key, or the passphrase is wrong") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Fault(f"{source} is not an EC key on P-256, which ES256 requires")
    return key


def _load(pem: bytes, source: str, ask_passphrase: Callable[[str], str] | None) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:  # it is encrypted
        if ask_passphrase is None:
            raise Fault(f"{source} has no unencrypted PEM private key") from None
        return load_pem_private_key(pem, password=ask_passphrase(source).encode())


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
