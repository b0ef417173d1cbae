"""The sources of verification keys, and how each format is read.

Only public keys on P-256 leave this module: the private half of a key is dropped at once. Of a
source that lists other keys too (a JWKS with RSA keys), only those on P-256 are used.
"""

import json
import re
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.rotation import Statement
from sidecar.tokens.jwk import fits_es256, public_members, thumbprint
from sidecar.tokens.keyring import MAX_KEYS, MAX_KID_LENGTH, VerificationKey

MAX_TEXT_BYTES = 1_048_576
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----(?:[^-]|-(?!----))*-----END \1-----")
_PEM_PARAMETERS = ("EC PARAMETERS",)
"""What ``openssl ecparam -genkey`` writes before the key: it names the curve once more."""


class KeyFault(Fault):
    """The content of a source is not a usable key."""


class KeySource(Protocol):
    """One source of keys, bound to one issuer."""

    @property
    def issuer(self) -> str:
        """Return the only issuer whose tokens these keys may verify."""

    @property
    def name(self) -> str:
        """Return where it reads, for messages."""

    async def fetch(self) -> Statement:
        """Read the current keys. Raises ``Fault``, which says where and what is wrong."""


class TransitReader(Protocol):
    """What the source asks of Vault; ``sidecar.vault.client.VaultClient`` answers it."""

    async def read_transit_key(self, mount: str, name: str) -> Any:
        """Return ``kind``, ``public_pems`` by version and ``min_version``."""


class TransitKeySource:
    """An ``ecdsa-p256`` key of Vault transit; Vault signs, and we get public halves only.

    Every version from ``min_decryption_version`` up verifies; raising it withdraws the
    versions below. A version is known under two kids, its RFC 7638 thumbprint and
    ``<name>-v<n>``: transit publishes none, and signers follow either custom.
    """

    def __init__(self, settings: model.VaultTransitKeys, issuer: str, vault: TransitReader) -> None:
        self._settings = settings
        self._vault = vault
        self.issuer = issuer
        self.name = f"Vault transit key {settings.mount}/{settings.name}"

    async def fetch(self) -> Statement:
        """Read the key's versions, earlier ones included."""
        key = await self._vault.read_transit_key(self._settings.mount, self._settings.name)
        if key.kind != "ecdsa-p256":
            raise KeyFault(f"{self.name} is of type {key.kind}; ES256 needs ecdsa-p256")
        found: list[VerificationKey] = []
        for version, pem in sorted(key.public_pems.items()):
            if version >= key.min_version:
                (parsed,) = parse_keys(pem, self.issuer)
                found += (parsed, parsed._replace(kid=f"{self._settings.name}-v{version}"))
        return Statement(tuple(found[-MAX_KEYS:]))


def parse_keys(text: str, issuer: str | None) -> tuple[VerificationKey, ...]:
    """Read PEM (one or more keys, private or public), a JWK or a JWKS.

    Raises ``KeyFault``, which says what is wrong and never quotes the content.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise KeyFault(f"holds more than {MAX_TEXT_BYTES} characters")
    stripped = text.strip()
    if stripped.startswith("-----BEGIN "):
        return _read_pem(stripped, issuer)
    if stripped.startswith("{"):
        return _read_json(stripped, issuer)
    raise KeyFault("is neither PEM nor a JWK nor a JWKS")


def _read_pem(text: str, issuer: str | None) -> tuple[VerificationKey, ...]:
    """Read every block: during a rotation the old and the new key may be in one field."""
    blocks = list(_PEM_BLOCK.finditer(text))
    if len(blocks) != text.count("-----BEGIN "):
        raise KeyFault("is not valid PEM: one of its blocks is incomplete")
    found = (_read_pem_block(b[0]) for b in blocks if b[1] not in _PEM_PARAMETERS)
    keys = {key.kid: key for key in (VerificationKey(thumbprint(p), p, issuer) for p in found)}
    if not 0 < len(keys) <= MAX_KEYS:
        raise KeyFault(f"must hold 1 to {MAX_KEYS} keys")
    return tuple(keys.values())


def _read_pem_block(text: str) -> ec.EllipticCurvePublicKey:
    raw = text.encode("utf-8")
    try:
        if "PRIVATE KEY-----" in text:
            key: object = load_pem_private_key(raw, password=None)
        else:
            key = load_pem_public_key(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFault("is not an unencrypted key in PEM") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key = key.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFault("is not an EC key on P-256, which ES256 needs")
    return key


def _read_json(text: str, issuer: str | None) -> tuple[VerificationKey, ...]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyFault("is not JSON") from None
    listed = value.get("keys", [value])
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeyFault(f"'keys' must be an array of at most {MAX_KEYS} JWKs")
    keys = tuple(
        _read_jwk(jwk, issuer) for jwk in listed if isinstance(jwk, dict) and fits_es256(jwk)
    )
    if not keys:
        raise KeyFault("holds no key for ES256 (kty EC, crv P-256, use sig)")
    if len({key.kid for key in keys}) < len(keys):
        raise KeyFault("lists two keys under one kid")
    return keys


def _read_jwk(jwk: dict[str, Any], issuer: str | None) -> VerificationKey:
    try:
        public = jwt.PyJWK(public_members(jwk), algorithm="ES256").key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise KeyFault("holds a JWK whose x and y are not a point on P-256") from None
    kid = jwk.get("kid")
    if kid is None:
        kid = thumbprint(public)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH or not kid.isprintable():
        raise KeyFault(
            f"holds a JWK whose kid is not text of 1 to {MAX_KID_LENGTH} printable characters"
        )
    return VerificationKey(kid, public, issuer)
