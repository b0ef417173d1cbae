"""The sources of verification keys, and how each format is read.

Only public keys of the issuer's algorithms leave this module: the private half of a key is
dropped at once. Of a source that lists keys for something else too, the others are used.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.key_set import KeySet, read_key_set
from sidecar.keys.rotation import Statement
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm, PublicKey
from sidecar.tokens.jwk import JwkFault, bind_public, public_half, thumbprint
from sidecar.tokens.keyring import MAX_KEYS, VerificationKey

MAX_TEXT_BYTES = 1_048_576
_NAMED = 3
"""How many of the keys that can't be used a message names."""
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


@runtime_checkable
class HoldsFresh(Protocol):
    """A source that returns what it holds for as long as its publisher calls it fresh."""

    def revalidate(self) -> None:
        """Have the next ``fetch`` ask the publisher."""


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

    def __init__(
        self,
        settings: model.VaultTransitKeys,
        issuer: str,
        vault: TransitReader,
        algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
    ) -> None:
        self._settings = settings
        self._algorithms = algorithms
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
                (parsed,) = parse_keys(pem, self.issuer, self._algorithms)
                found += (parsed, parsed._replace(kid=f"{self._settings.name}-v{version}"))
        return Statement(tuple(found[-MAX_KEYS:]))


def parse_keys(
    text: str, issuer: str | None, algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS
) -> tuple[VerificationKey, ...]:
    """Read the keys that are used, as ``parse_key_set`` does."""
    return parse_key_set(text, issuer, algorithms).keys


def parse_key_set(
    text: str,
    issuer: str | None,
    algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
    *,
    is_published: bool = False,
) -> KeySet:
    """Read PEM (one or more keys, private or public), a JWK or a JWKS.

    Every key is bound to one of ``algorithms``. Of a JWKS what can't be used is skipped, and
    ``is_published`` says that everybody can read it (``key_set``). Raises ``KeyFault``, which says
    what is wrong and never quotes the content.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise KeyFault(f"holds more than {MAX_TEXT_BYTES} characters")
    stripped = text.strip()
    if stripped.startswith("-----BEGIN "):
        return KeySet(_read_pem(stripped, issuer, algorithms))
    if stripped.startswith("{"):
        return _read_json(stripped, issuer, algorithms, is_published=is_published)
    raise KeyFault("is neither PEM nor a JWK nor a JWKS")


def parse_p256_keys(text: str) -> list[ec.EllipticCurvePublicKey]:
    """Read keys on P-256 for signatures that are no tokens'; raise ``KeyFault``."""
    publics = (key.public for key in parse_keys(text, None, DEFAULT_ALGORITHMS))
    return [public for public in publics if isinstance(public, ec.EllipticCurvePublicKey)]


def _read_pem(
    text: str, issuer: str | None, algorithms: Sequence[Algorithm]
) -> tuple[VerificationKey, ...]:
    """Read every block: during a rotation the old and the new key may be in one field."""
    blocks = list(_PEM_BLOCK.finditer(text))
    if len(blocks) != text.count("-----BEGIN "):
        raise KeyFault("is not valid PEM: one of its blocks is incomplete")
    found = (_read_pem_block(b[0]) for b in blocks if b[1] not in _PEM_PARAMETERS)
    keys = {thumbprint(public): _bound(public, issuer, algorithms) for public in found}
    if not 0 < len(keys) <= MAX_KEYS:
        raise KeyFault(f"must hold 1 to {MAX_KEYS} keys")
    return tuple(keys.values())


def _bound(
    public: PublicKey, issuer: str | None, algorithms: Sequence[Algorithm]
) -> VerificationKey:
    try:
        algorithm = bind_public(public, algorithms)
    except JwkFault as fault:
        raise KeyFault(f"holds a key that can't be used: {fault}") from None
    return VerificationKey(thumbprint(public), public, issuer, algorithm)


def _read_pem_block(text: str) -> PublicKey:
    raw = text.encode("utf-8")
    try:
        if "PRIVATE KEY-----" in text:
            key: object = load_pem_private_key(raw, password=None)
        else:
            key = load_pem_public_key(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFault("is not an unencrypted key in PEM") from None
    try:
        return public_half(key)
    except JwkFault as fault:
        raise KeyFault(f"holds a key that can't be used: {fault}") from None


def _read_json(
    text: str, issuer: str | None, algorithms: Sequence[Algorithm], *, is_published: bool
) -> KeySet:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyFault("is not JSON") from None
    listed = value.get("keys", [value])
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise KeyFault(f"'keys' must be an array of at most {MAX_KEYS} JWKs")
    found = read_key_set(listed, issuer, algorithms, is_published=is_published)
    if not found.keys:
        said = "; ".join(map(str, found.skipped[:_NAMED]))
        more = f"; and {len(found.skipped) - _NAMED} more" if len(found.skipped) > _NAMED else ""
        allowed = " or ".join(map(str, algorithms))
        raise KeyFault(f"holds no key for {allowed}" + (f" ({said}{more})" if said else ""))
    return found
