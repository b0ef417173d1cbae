"""Adds one revocation to an entry of Vault KV v2, and keeps everything else in it. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from sidecar.tokens.revocation_entry import (
    RevocationFault,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
    read_revocations,
)

MAX_LISTED = 150
"""The most tokens in a list of objects; more become a text. An untuned Vault takes 199 in all."""


class RevokedKid(NamedTuple):
    """A key that must verify nothing any more."""

    kid: str


NewRevocation = RevokedKid | RevokedToken | RevokedSubject | RevokedTenant


def add_revocation(data: Mapping[str, Any], new: NewRevocation) -> dict[str, Any] | None:
    """Return the entry with one revocation more; ``None`` where it says so already.

    Raises ``RevocationFault`` for an entry that no sidecar can read: it must be mended first, or
    what is added would have no effect either.
    """
    read_revocations(data)
    match new:
        case RevokedKid(kid=kid):
            changed = _add_kid(data, kid)
        case RevokedToken():
            changed = _add_token(data, new)
        case RevokedSubject():
            changed = _add_mark(data, "subjects", new, ("iss", "sub"))
        case RevokedTenant():
            changed = _add_mark(data, "tenants", new, ("tenant",))
    if changed is not None:
        read_revocations(changed)
    return changed


def _add_kid(data: Mapping[str, Any], kid: str) -> dict[str, Any] | None:
    kids = list(data.get("kids", ()))
    return None if kid in kids else {**data, "kids": [*kids, kid]}


def _add_token(data: Mapping[str, Any], new: RevokedToken) -> dict[str, Any] | None:
    """Add a token in the form that the entry has; a list that grows long becomes a text."""
    held = read_revocations(data).tokens
    if any((each.iss, each.jti) == (new.iss, new.jti) and each.exp >= new.exp for each in held):
        return None
    tokens = data.get("tokens", [])
    if isinstance(tokens, str):
        lines = [line for line in tokens.split("\n") if line.strip()]
        return {**data, "tokens": "\n".join([*lines, _line(new)])}
    if len(tokens) < MAX_LISTED:
        return {**data, "tokens": [*tokens, msgspec.to_builtins(new)]}
    return {**data, "tokens": "\n".join(map(_line, (*held, new)))}


def _line(token: RevokedToken) -> str:
    """Return ``iss jti exp``, of which none may have white space."""
    if any(character.isspace() for character in token.iss + token.jti):
        raise RevocationFault(
            "tokens: this entry has one token a line, and the iss or jti to be added has white "
            "space; write it to another entry (--entry)"
        )
    return f"{token.iss} {token.jti} {int(token.exp) + (token.exp % 1 > 0)}"


def _add_mark(
    data: Mapping[str, Any],
    field: str,
    new: RevokedSubject | RevokedTenant,
    names: tuple[str, ...],
) -> dict[str, Any] | None:
    """Add a watermark, in place of an earlier one of the same subject or tenant."""
    mark: dict[str, Any] = msgspec.to_builtins(new)

    def same(each: Mapping[str, Any]) -> bool:
        return all(_key(each[name], field) == _key(mark[name], field) for name in names)

    marks = list(data.get(field, ()))
    if any(same(each) and each["issued_before"] >= mark["issued_before"] for each in marks):
        return None
    return {**data, field: [*(each for each in marks if not same(each)), mark]}


def _key(text: str, field: str) -> str:
    """Return what is compared: tenants' ids in lower case, as Checks do."""
    return text.lower() if field == "tenants" else text
