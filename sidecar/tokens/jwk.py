"""The metadata of a JSON Web Key (RFC 7517 §4), and the thumbprint as a default ``kid``."""

import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.common.base64url import encode_base64url

_COORDINATE_BYTES = 32


def fits_es256(jwk: dict[str, Any]) -> bool:
    """Return whether a JWK may verify ES256 signatures, according to all of its metadata.

    ``use`` and ``key_ops`` are respected if present (RFC 7517 §4.2, §4.3): a key published for
    encryption is never used for signatures.
    """
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == "EC"
        and jwk.get("crv") == "P-256"
        and jwk.get("alg", "ES256") == "ES256"
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and ("verify" in operations or "sign" in operations)
    )


def public_members(jwk: dict[str, Any]) -> dict[str, Any]:
    """Return the public members of an EC key, and no others."""
    return {name: jwk.get(name) for name in ("kty", "crv", "x", "y")}


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the RFC 7638 thumbprint (SHA-256, base64url) of a P-256 key."""
    numbers = key.public_numbers()
    members = {
        "crv": "P-256",
        "kty": "EC",
        "x": encode_base64url(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
        "y": encode_base64url(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
    }
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return encode_base64url(hashlib.sha256(canonical.encode()).digest())
