"""Makes tokens, good ones and every kind of bad one, with PyJWT as an independent hand."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from sidecar.tokens.algorithms import ES256
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.policy import DEFAULT_REQUIRED, IssuerPolicy, TokenPolicy

NOW = 1_790_000_000.0
ISSUER = "https://iam.septemcore.com"
AUDIENCE = "https://api.septemcore.com"
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def b64(raw: bytes) -> str:
    """Encode base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def base_claims(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """Claims that pass every rule; ``None`` removes one."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "user-42",
        "aud": AUDIENCE,
        "exp": now + 600,
        "nbf": now - 10,
        "iat": now - 10,
        "jti": "tok-1",
        "tenantId": TENANT,
        "roles": ["admin", "editor"],
        "scope": "read write",
    }
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


@dataclass(frozen=True)
class Issuer:
    """An ES256 key with a kid, able to sign anything whatever its shape."""

    private: ec.EllipticCurvePrivateKey
    kid: str = "key-1"
    name: str = ISSUER

    @classmethod
    def generate(cls, kid: str = "key-1", name: str = ISSUER) -> "Issuer":
        return cls(ec.generate_private_key(ec.SECP256R1()), kid, name)

    @property
    def key(self) -> VerificationKey:
        return VerificationKey(self.kid, self.private.public_key(), self.name, ES256)

    @property
    def ring(self) -> KeyRing:
        return KeyRing([self.key])

    def mint(self, header: Mapping[str, Any] | None = None, **changes: Any) -> bytes:
        """Sign with PyJWT."""
        headers = {"kid": self.kid, **(header or {})}
        return jwt.encode(base_claims(**changes), self.private, "ES256", headers).encode()

    def mint_raw(self, header: bytes | str, payload: bytes | str) -> bytes:
        """Sign two arbitrary byte strings as header and payload."""
        raw_header = header.encode() if isinstance(header, str) else header
        raw_payload = payload.encode() if isinstance(payload, str) else payload
        signed = f"{b64(raw_header)}.{b64(raw_payload)}".encode()
        r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        return signed + b"." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big")).encode()

    def header(self, **changes: Any) -> str:
        """Serialise a good header, changed; ``None`` removes a parameter."""
        header = {"alg": "ES256", "typ": "JWT", "kid": self.kid, **changes}
        return json.dumps({k: v for k, v in header.items() if v is not None})


def rules(*, require_nbf: bool = True, **changes: Any) -> IssuerPolicy:
    """Build the rules of the issuer, which ``base_claims`` satisfies."""
    required = DEFAULT_REQUIRED if require_nbf else DEFAULT_REQUIRED - {"nbf"}
    return IssuerPolicy(**{"audiences": frozenset({AUDIENCE}), "required": required, **changes})


def policy(**changes: Any) -> TokenPolicy:
    """Build the policy of a server with this one issuer; ``changes`` are of its rules."""
    return TokenPolicy(issuers={ISSUER: rules(**changes)}, others=None)
