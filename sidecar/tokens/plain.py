"""The fast path for the claims of an ordinary token: it accepts, or leaves the decision open.

Most tokens of an issuer are alike: compact JSON in ASCII, the claims of the model and no
others, nothing that could be personal data. For those this module returns the same ``Claims``
as ``sidecar.tokens.strict`` and ``claims``, in a fifth of the time. For every other token,
including every one that must be denied, it returns ``None``, and the strict readers decide and
say why. So it can be wrong in one way only: by accepting what they deny, or reading it
differently. ``tests/tokens/test_plain.py`` compares it with them.

Why no member can occur twice: without white space after a quote and without escapes, a
member's name ends in ``":``, and a value that begins with a colon only makes the count too
large. So if ``":`` occurs as often as the parsed object has members, each occurs once.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from sidecar.common.errors import Denied
from sidecar.tokens.claims import (
    LATEST_TIME,
    MAX_LISTED,
    Claims,
    check_claims,
    read_claims,
    read_roles,
    read_scopes,
    read_tenant,
)
from sidecar.tokens.confirmation import CLAIM
from sidecar.tokens.kinds import tells_a_kind
from sidecar.tokens.pii import find_pii
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.strict import MAX_JSON_DEPTH
from sidecar.tokens.validity import validity_of

_CLAIMS = frozenset({"iss", "sub", "aud", "jti", "tenantId", "exp", "iat", "nbf", "roles", "scope"})
_FORBIDDEN = bytes(range(0x20)) + b"\\@+\x7f"
"""Control characters, escapes, and the marks of e-mail addresses and telephone numbers."""
_UNREADABLE = bytes(range(0x20)) + b"\\\x7f"
_MAX_ARRAYS = 8
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def read_plain_claims(
    raw: bytes, policy: IssuerPolicy, issuer: str | None, now: float
) -> Claims | None:
    """Return the claims of a plain payload that meets every rule at ``now``; otherwise ``None``.

    ``issuer`` is the one to which the key is bound. The returned claims have no personal data.
    After ``None`` the strict readers must decide.
    """
    if policy.mapping is not None:
        return _read_mapped(raw, policy, issuer, now)
    if (
        not raw.isascii()
        or len(raw.translate(None, _FORBIDDEN)) != len(raw)
        or raw.count(b'" ')
        or raw.count(b"{") != 1
        or raw.count(b"[") > _MAX_ARRAYS
    ):
        return None
    try:
        payload = _decode(raw)
        if type(payload) is not dict or raw.count(b'":') != len(payload):
            return None
        return _accept(payload, policy, issuer, now)
    except (msgspec.MsgspecError, KeyError, TypeError, Denied):
        return None


def _read_mapped(raw: bytes, policy: IssuerPolicy, issuer: str | None, now: float) -> Claims | None:
    """Read the claims of an issuer that has others than the security model's.

    The parser is the fast one, the readers and rules are those of ``claims``.
    """
    objects = raw.count(b"{")
    if (
        not raw.isascii()
        or len(raw.translate(None, _UNREADABLE)) != len(raw)
        or raw.count(b'" ')
        or objects + raw.count(b"[") > MAX_JSON_DEPTH
    ):
        return None
    try:
        payload = _decode(raw)
        if type(payload) is not dict:
            return None
        members = len(payload) if objects == 1 else _count_members(payload)
        if raw.count(b'":') != members:
            return None
        claims = read_claims(payload, policy)
        if issuer is not None and claims.issuer != issuer:
            return None
        check_claims(claims, policy, now)
    except (msgspec.MsgspecError, Denied):
        return None
    return None if find_pii(payload, policy.may_hold_pii) else claims


def _count_members(value: dict[str, Any] | list[Any]) -> int:
    """Count the members of all objects; their depth was bounded before."""
    counted = 0
    if type(value) is dict:
        counted, value = len(value), list(value.values())
    for inner in value:
        if type(inner) is dict or type(inner) is list:
            counted += _count_members(inner)
    return counted


def _accept(
    payload: dict[str, Any], policy: IssuerPolicy, issuer: str | None, now: float
) -> Claims | None:
    """Check the model's claims against the rules of ``claims.RULES``, in any order."""
    meant, audience = policy.audiences, payload["aud"]
    if meant is None or issuer is None or payload["iss"] != issuer:
        return None
    audience = _texts(tuple(audience) if type(audience) is list else (audience,))
    issued_at, expires_at = _time(payload["iat"]), _time(payload["exp"])
    not_before = (
        _time(payload["nbf"]) if "nbf" in policy.required or "nbf" in payload else issued_at
    )
    if (
        meant.isdisjoint(audience)
        or expires_at - issued_at > policy.max_lifetime_seconds
        or not validity_of(issued_at, not_before, expires_at, policy.leeway_seconds).holds_at(now)
    ):
        return None
    subject, token_id = payload["sub"], payload["jti"]
    if not (_is_visible(subject) and _is_visible(token_id)):
        return None
    roles, scope = payload.get("roles"), payload.get("scope")
    claims = Claims(
        issuer,
        subject,
        audience,
        token_id,
        _tenant(payload["tenantId"]),
        expires_at,
        issued_at,
        not_before,
        () if roles is None else _roles(tuple(roles) if type(roles) is list else roles),
        () if scope is None else _scopes(scope),
    )
    others = payload.keys() - _CLAIMS
    if others and (CLAIM in others or tells_a_kind(others)):
        return None
    # Roles and scopes were searched for personal data when they were first read.
    if (others or _may_be_an_address(subject) or _may_be_an_address(token_id)) and find_pii(
        payload
    ):
        return None
    return claims


def _time(value: object) -> float:
    """Read a NumericDate."""
    if (type(value) is int or type(value) is float) and 0 <= value < LATEST_TIME:
        return float(value)
    raise TypeError


def _is_visible(value: object) -> bool:
    """Return whether this is visible ASCII; other control characters were excluded before."""
    return type(value) is str and value != "" and " " not in value


def _may_be_an_address(text: str) -> bool:
    return "." in text or ":" in text


@lru_cache(maxsize=16_384)
def _tenant(value: str) -> str:
    return read_tenant({"tenantId": value})


@lru_cache(maxsize=4096)
def _texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the same tuple for equal ones: few audiences serve many tokens."""
    if 0 < len(values) <= MAX_LISTED and all(type(value) is str and value for value in values):
        return values
    raise TypeError


@lru_cache(maxsize=4096)
def _roles(values: tuple[Any, ...]) -> tuple[str, ...]:
    if type(values) is not tuple or find_pii({"roles": list(values)}):
        raise TypeError
    return read_roles({"roles": list(values)})


@lru_cache(maxsize=4096)
def _scopes(value: str) -> tuple[str, ...]:
    if find_pii({"scope": value}):
        raise TypeError
    return read_scopes({"scope": value})
