"""Where verification keys come from, and how each form of them is read.

Whatever is found, only public keys on P-256 leave this module: the private half of a
key is dropped on sight. A source that lists keys of other kinds (a JWKS with RSA keys
beside ours) is used for those that fit.
"""

import json
from typing import Any, NamedTuple, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from sidecar.config import model
from sidecar.errors import Fault
from sidecar.keys.jwk import fits_es256, public_members, thumbprint
from sidecar.keys.keyring import MAX_KEYS, MAX_KID_LENGTH, VerificationKey

MAX_TEXT_BYTES = 1_048_576


class KeyFault(Fault):
    """What a source holds is no usable key."""


class KvSecret(Protocol):
    """What a source needs to see of an entry in KV."""

    @property
    def data(self) -> Any:
        """The fields by name."""

    @property
    def version(self) -> int:
        """The version, from 1."""


class KvReader(Protocol):
    """Reads Vault KV v2; ``sidecar.vault.client.VaultClient`` does."""

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        """Return the latest version."""


class Fetched(NamedTuple):
    """The keys of a source and the version of what they were read from."""

    keys: tuple[VerificationKey, ...]
    version: int


class KvKeySource:
    """One entry of Vault KV v2, bound to one issuer."""

    def __init__(self, settings: model.VaultKvKeys, issuer: str, reader: KvReader) -> None:
        self._settings = settings
        self._reader = reader
        self.issuer = issuer

    @property
    def name(self) -> str:
        """Name the source for messages: where it reads."""
        return f"{self._settings.mount}/{self._settings.path}"

    async def fetch(self) -> Fetched:
        """Read the keys; raises ``Fault`` naming the entry and what is wrong with it."""
        settings = self._settings
        secret = await self._reader.read_kv(settings.mount, settings.path)
        value = secret.data.get(settings.field)
        if not isinstance(value, str):
            raise KeyFault(f"Vault entry {self.name} has no text in its field {settings.field!r}")
        try:
            keys = parse_keys(value, self.issuer)
        except KeyFault as fault:
            raise KeyFault(f"Vault entry {self.name}, field {settings.field!r}: {fault}") from None
        return Fetched(keys, secret.version)


def parse_keys(text: str, issuer: str | None) -> tuple[VerificationKey, ...]:
    """Read a PEM (private or public), a JWK or a JWKS.

    Raises ``KeyFault`` that says what is wrong and never quotes what it read.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise KeyFault(f"holds more than {MAX_TEXT_BYTES} characters")
    stripped = text.strip()
    if stripped.startswith("-----BEGIN "):
        public = _read_pem(stripped)
        return (VerificationKey(thumbprint(public), public, issuer),)
    if stripped.startswith("{"):
        return _read_json(stripped, issuer)
    raise KeyFault("is neither PEM nor a JWK nor a JWKS")


def _read_pem(text: str) -> ec.EllipticCurvePublicKey:
    raw = text.encode("utf-8")
    try:
        if "PRIVATE KEY-----" in text:
            key: object = load_pem_private_key(raw, password=None)
        else:
            key = load_pem_public_key(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFault("is no PEM of an unencrypted key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        key = key.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFault("is not an EC key on P-256, and ES256 verifies with no other")
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
        raise KeyFault("holds a JWK whose x and y are no point on P-256") from None
    kid = jwk.get("kid")
    if kid is None:
        kid = thumbprint(public)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise KeyFault(f"holds a JWK whose kid is not text of 1 to {MAX_KID_LENGTH} characters")
    return VerificationKey(kid, public, issuer)
