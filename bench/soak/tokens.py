"""Signs the soak's tokens, good ones and every kind of bad one, with PyJWT as another hand."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bench.soak.asks import Ask
from bench.soak.oracle import Identity
from bench.soak.policy import TENANTS
from bench.soak.settings import AUDIENCE, ISSUERS

LIFE_SECONDS = 600


class SigningKey(NamedTuple):
    """A key of an issuer."""

    private: ec.EllipticCurvePrivateKey
    kid: str

    @classmethod
    def generate(cls) -> "SigningKey":
        """Make one; its kid is its RFC 7638 thumbprint."""
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(private, thumbprint(private.public_key()))

    @property
    def pem(self) -> str:
        """The private key, as it is put into Vault."""
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        return self.private.private_bytes(*form).decode()


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the thumbprint of a key on P-256 (RFC 7638 §3)."""
    numbers = key.public_numbers()
    x, y = (_b64(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
    text = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return _b64(hashlib.sha256(text.encode()).digest())


def mint(ask: Ask, identity: Identity, key: SigningKey, now: float) -> str:
    """Return the token of a request; ``now`` is in Unix seconds."""
    issued = int(now) - 5
    claims: dict[str, Any] = {
        "iss": ISSUERS[ask.issuer], "aud": AUDIENCE, "sub": identity.subject,
        "jti": identity.token_id, "tenantId": TENANTS[ask.tenant], "roles": list(ask.roles),
        "scope": ask.scope, "iat": issued, "nbf": issued, "exp": issued + LIFE_SECONDS,
    }  # fmt: skip
    if ask.shape == "install":
        claims["roles"] = list(ask.roles)
    return _SIGNERS.get(ask.credential, _signed)(ask, claims, key)


def _signed(ask: Ask, claims: dict[str, Any], key: SigningKey) -> str:
    claims = _CHANGES.get(ask.credential, lambda given: given)(claims)
    return jwt.encode(claims, key.private, "ES256", {"kid": key.kid})


def _forged(_ask: Ask, claims: dict[str, Any], key: SigningKey) -> str:
    stranger = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, stranger, "ES256", {"kid": key.kid})


def _of_unknown_key(_ask: Ask, claims: dict[str, Any], _key: SigningKey) -> str:
    stranger = SigningKey.generate()
    return jwt.encode(claims, stranger.private, "ES256", {"kid": stranger.kid})


def _unsigned(_ask: Ask, claims: dict[str, Any], key: SigningKey) -> str:
    return jwt.encode(claims, "", "none", {"kid": key.kid})


def _confused(_ask: Ask, claims: dict[str, Any], key: SigningKey) -> str:
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    secret = key.private.public_key().public_bytes(*form)
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{signed}.{_b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _malformed(_ask: Ask, claims: dict[str, Any], key: SigningKey) -> str:
    return _unsigned(_ask, claims, key).replace(".", "", 1)


_SIGNERS = {
    "forged": _forged, "unknown_key": _of_unknown_key, "unsigned": _unsigned,
    "confused": _confused, "malformed": _malformed,
}  # fmt: skip
_CHANGES: dict[str, Any] = {
    "expired": lambda c: {**c, "iat": c["iat"] - 7200, "nbf": c["nbf"] - 7200,
                          "exp": c["exp"] - 7200},
    "early": lambda c: {**c, "nbf": c["nbf"] + 300},
    "wrong_audience": lambda c: {**c, "aud": "https://other.example"},
    "wrong_issuer": lambda c: {**c, "iss": "https://evil.example"},
    "too_large": lambda c: {**c, "pad": "x" * 6700},
    "no_subject": lambda c: {name: value for name, value in c.items() if name != "sub"},
    "refresh": lambda c: {**c, "typ": "refresh"},
    "too_long": lambda c: {**c, "exp": c["iat"] + 3600},
}  # fmt: skip


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
