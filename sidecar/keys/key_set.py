"""Reads the keys of a JWK Set: one that can't be used is skipped and named, the rest is used. Pure.

RFC 7517 §5: keys of an unknown type, with missing members or with values out of range should be
ignored. An issuer that publishes one odd key beside its good ones is not cut off by it.

- A key for something else (encryption, an algorithm that the issuer's settings do not allow) is
  nothing odd: every Keycloak publishes one.
- A *published* key whose private half or secret is published too is never used: anyone could sign.
- Of two different keys under one kid neither is used: a token's kid must name one key.
- Certificates in a JWK (``x5c``, ``x5t``, ``x5u``) are not looked at, so nonsense there harms none.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sidecar.common.printable import printable
from sidecar.tokens.algorithms import Algorithm
from sidecar.tokens.jwk import PRIVATE_MEMBERS, JwkFault, bind_jwk, read_jwk
from sidecar.tokens.keyring import VerificationKey

_MAX_NAME = 64


class SkipReason(StrEnum):
    """Why a listed key is not used; a label of ``septem_keys_skipped``."""

    OTHER_USE = "other_use"
    UNUSABLE = "unusable"
    PRIVATE = "private"
    TWIN_KID = "twin_kid"


class SkippedKey(NamedTuple):
    """A listed key that is not used, and why."""

    name: str
    """Its kid, cut to length, or its place in the list; for messages."""
    reason: SkipReason
    why: str
    kid: str | None = None

    def __str__(self) -> str:
        """Return it for messages."""
        return f"{self.name}: {self.why}"


class KeySet(NamedTuple):
    """The keys of a source that are used, and those that are not."""

    keys: tuple[VerificationKey, ...]
    skipped: tuple[SkippedKey, ...] = ()

    @property
    def distrusted(self) -> frozenset[str]:
        """The kids of keys that must not verify any more, though they may have once."""
        return frozenset(
            each.kid
            for each in self.skipped
            if each.kid is not None and each.reason in (SkipReason.PRIVATE, SkipReason.TWIN_KID)
        )


def read_key_set(
    listed: Iterable[object],
    issuer: str | None,
    algorithms: Sequence[Algorithm],
    *,
    is_published: bool,
) -> KeySet:
    """Read the elements of ``keys``. ``is_published`` says that everybody can read them."""
    found: dict[str, list[VerificationKey]] = {}
    skipped: list[SkippedKey] = []
    for number, jwk in enumerate(listed, 1):
        read = _read(jwk, number, issuer, algorithms, is_published=is_published)
        if isinstance(read, SkippedKey):
            skipped.append(read)
        elif read not in found.setdefault(read.kid, []):
            found[read.kid].append(read)
    for kid, keys in found.items():
        if len(keys) > 1:
            why = f"{len(keys)} different keys have this kid"
            skipped.append(SkippedKey(_shown(kid), SkipReason.TWIN_KID, why, kid))
    used = tuple(keys[0] for keys in found.values() if len(keys) == 1)
    return KeySet(used, tuple(skipped))


def _read(
    jwk: object,
    number: int,
    issuer: str | None,
    algorithms: Sequence[Algorithm],
    *,
    is_published: bool,
) -> VerificationKey | SkippedKey:
    if not isinstance(jwk, dict):
        return SkippedKey(f"number {number}", SkipReason.UNUSABLE, "it is not an object")
    kid = jwk.get("kid")
    kid = kid if isinstance(kid, str) and kid else None
    name = f"number {number}" if kid is None else _shown(kid)
    if jwk.get("kty") == "oct":
        why = "it is a secret (kty oct), and with it anyone who verifies could sign"
        return SkippedKey(name, SkipReason.PRIVATE, why, kid)
    if is_published and not PRIVATE_MEMBERS.isdisjoint(jwk):
        why = "its private half is published, so anyone could sign: have its issuer replace it"
        return SkippedKey(name, SkipReason.PRIVATE, why, kid)
    try:
        return read_jwk(jwk, issuer, algorithms)
    except JwkFault as fault:
        return SkippedKey(name, _reason(jwk, algorithms), str(fault))


def _reason(jwk: Mapping[str, Any], algorithms: Sequence[Algorithm]) -> SkipReason:
    """Tell a key for something else from one that is meant for tokens, and can't be used."""
    try:
        bind_jwk(jwk, algorithms)
    except JwkFault:
        is_for_tokens = "alg" not in jwk and any(
            each.kty == jwk.get("kty") and each.crv in (None, jwk.get("crv")) for each in algorithms
        )
        used_for = jwk.get("use", "sig") == "sig" and "key_ops" not in jwk
        return SkipReason.UNUSABLE if is_for_tokens and used_for else SkipReason.OTHER_USE
    return SkipReason.UNUSABLE


def _shown(kid: str) -> str:
    return printable(kid, _MAX_NAME)
