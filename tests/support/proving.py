"""Makes DPoP proofs as a client does: with PyJWT, which shares no code with what checks them."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

URL = "https://app.septemcore.com/api/things"


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Prover:
    """A client's key pair, and the proofs that it makes."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def jwk(self) -> dict[str, Any]:
        return dict(ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True))

    @property
    def jkt(self) -> str:
        members = {name: self.jwk[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
        return b64(sha256(canonical.encode()).digest())

    def header(self, **changes: Any) -> dict[str, Any]:
        made = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk, **changes}
        return {name: value for name, value in made.items() if value is not None}

    def claims(self, token: bytes, now: float, **changes: Any) -> dict[str, Any]:
        made = {
            "jti": "one",
            "htm": "GET",
            "htu": URL,
            "iat": int(now),
            "ath": b64(sha256(token).digest()),
            **changes,
        }
        return {name: value for name, value in made.items() if value is not None}

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> bytes:
        """Sign what is given, whatever its header says of the algorithm."""
        parts = (b64(json.dumps(each).encode()) for each in (header, claims))
        signed = ".".join(parts).encode()
        return signed + b"." + b64(ECAlgorithm(ECAlgorithm.SHA256).sign(signed, self.key)).encode()

    def proof(self, token: bytes, now: float, **changes: Any) -> bytes:
        """Return a proof for a token at ``now``; ``changes`` are of its claims."""
        return jwt.encode(
            self.claims(token, now, **changes), self.key, "ES256",
            {"typ": "dpop+jwt", "jwk": self.jwk},
        ).encode()  # fmt: skip
