"""The claims of an access token: typed once, then checked one rule at a time.

Sources: RFC 7519 §4.1, RFC 9068 §2.2 and §4, SECURITY-MODEL §3 (lifetime of 15 minutes).
Every rule is a function of the claims, the policy and ``now``; the order in which they
run is the order of ``RULES``.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claim_path import parse_claim_path
from sidecar.tokens.confirmation import Confirmation, read_confirmation
from sidecar.tokens.kinds import check_kind
from sidecar.tokens.mapping import ClaimsMapping, NamesPlace, TenantPlace, read_names
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.validity import Validity, validity_of

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
LATEST_TIME = 253_402_300_800.0  # the year 10000: past every honest date, far inside a float
MAX_LISTED = 64


class Claims(msgspec.Struct, frozen=True, gc=False):
    """The claims of an accepted token. Times are Unix seconds."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    token_id: str
    tenant_id: str
    expires_at: float
    issued_at: float
    not_before: float
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    confirmation: Confirmation | None = None
    """What proves that the token is its sender's (``cnf``); ``None`` for a bearer token."""


def read_claims(payload: Mapping[str, Any], policy: IssuerPolicy) -> Claims:
    """Turn a token's JSON object into ``Claims``, by the rules of the token's issuer.

    Raises ``Denied`` with ``claim_missing`` or ``claim_malformed``, naming the claim; and as
    ``kinds`` does, where the claims are not an access token's. The token's id is empty where
    there is none and none is required.
    """
    check_kind(payload, nonce=policy.refuses_nonce)
    for path in policy.required_paths:
        path.require(payload)
    if policy.mapping is not None:
        return _read_mapped(payload, policy, policy.mapping)
    issued_at = _time(payload, "iat")
    return Claims(
        issuer=_text(payload, "iss"),
        subject=_header_text(payload, "sub"),
        audience=_audience(payload, policy),
        token_id=_header_text(payload, "jti"),
        tenant_id=read_tenant(payload),
        expires_at=_time(payload, "exp"),
        issued_at=issued_at,
        not_before=_not_before(payload, policy, issued_at),
        roles=read_roles(payload),
        scopes=read_scopes(payload),
        confirmation=read_confirmation(payload),
    )


def _read_mapped(
    payload: Mapping[str, Any], policy: IssuerPolicy, mapping: ClaimsMapping
) -> Claims:
    """Read the claims of another issuer than the security model's, from where it has them."""
    required = policy.required
    expires_at = _time(payload, "exp")
    issued_at = _issued_at(payload, policy, expires_at)
    return Claims(
        _text(payload, "iss"),
        mapping.read_user(payload, required="sub" in required),
        _audience(payload, policy),
        mapping.read_token_id(payload, required="jti" in required),
        mapping.tenant.read(payload),
        expires_at,
        issued_at,
        _not_before(payload, policy, issued_at),
        read_names(mapping.roles, payload),
        read_names(mapping.scopes, payload),
        confirmation=read_confirmation(payload),
    )


def check_claims(claims: Claims, policy: IssuerPolicy, now: float) -> None:
    """Check the claims against the policy at ``now``; raise ``Denied`` for the first violation."""
    for rule in RULES:
        rule(claims, policy, now)


def validity(claims: Claims, policy: IssuerPolicy) -> Validity:
    """Return the validity period: when all rules on time hold, leeway included."""
    return validity_of(
        claims.issued_at, claims.not_before, claims.expires_at, policy.leeway_seconds
    )


def _audience_meant(claims: Claims, policy: IssuerPolicy, _now: float) -> None:
    """Accept only a token for a configured audience (RFC 7519 §4.1.3, RFC 8725 §3.9)."""
    if policy.audiences is None:
        return
    if policy.audiences.isdisjoint(claims.audience):
        raise Denied(
            Reason.AUDIENCE_MISMATCH,
            f"claim {policy.audience_claim!r} names none of the issuer's audiences",
        )


def _lifetime(claims: Claims, policy: IssuerPolicy, _now: float) -> None:
    """Bound exp - iat, without leeway (SECURITY-MODEL §3: 15 minutes)."""
    lifetime = claims.expires_at - claims.issued_at
    if lifetime > policy.max_lifetime_seconds:
        raise Denied(
            Reason.TOKEN_LIFETIME_TOO_LONG,
            f"exp - iat is {lifetime:.0f} s, the limit is {policy.max_lifetime_seconds:.0f} s",
        )


def _in_time(claims: Claims, policy: IssuerPolicy, now: float) -> None:
    """Deny a token outside its ``Validity``, and say on which side and by which claim.

    One that was issued in the future is denied though its nbf may have come: its issuer's
    clock or its lifetime is not honest.
    """
    span = validity(claims, policy)
    if span.holds_at(now):
        return
    if span.is_over_at(now):
        raise Denied(Reason.TOKEN_EXPIRED, f"expired {now - claims.expires_at:.0f} s ago")
    begun, ends, leeway = claims.not_before, claims.expires_at, policy.leeway_seconds
    if not validity_of(begun, begun, ends, leeway).holds_at(now):
        raise Denied(Reason.TOKEN_NOT_YET_VALID, f"valid in {claims.not_before - now:.0f} s")
    raise Denied(Reason.TOKEN_ISSUED_IN_FUTURE, f"iat is {claims.issued_at - now:.0f} s ahead")


RULES: tuple[Callable[[Claims, IssuerPolicy, float], None], ...] = (
    _audience_meant,
    _lifetime,
    _in_time,
)


def _required(payload: Mapping[str, Any], name: str) -> Any:
    value = payload.get(name)
    if value is None:
        raise Denied(Reason.CLAIM_MISSING, f"claim {name!r} is missing")
    return value


def _malformed(name: str, expected: str) -> Denied:
    return Denied(Reason.CLAIM_MALFORMED, f"claim {name!r} must be {expected}")


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = _required(payload, name)
    if not isinstance(value, str) or not value:
        raise _malformed(name, "a non-empty string")
    return value


def _header_text(payload: Mapping[str, Any], name: str) -> str:
    """Read a claim that becomes a header's value: visible ASCII only."""
    value = _text(payload, name)
    if not _VISIBLE.fullmatch(value):
        raise _malformed(name, "visible ASCII without spaces")
    return value


def _time(payload: Mapping[str, Any], name: str) -> float:
    """Read a NumericDate: an integer or a decimal, finite and plausible (RFC 7519 §2)."""
    value = payload.get(name)
    if (type(value) is int or type(value) is float) and 0 <= value < LATEST_TIME:
        return float(value)
    if value is None:
        raise Denied(Reason.CLAIM_MISSING, f"claim {name!r} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed(name, "a number of seconds")
    raise _malformed(name, "a time between 1970 and the year 10000")


def _issued_at(payload: Mapping[str, Any], policy: IssuerPolicy, expires_at: float) -> float:
    """Read ``iat``; without one, the earliest time at which the token can have been issued.

    So a token of a longer life was issued in the future, and a revocation of everything before
    a time includes it.
    """
    if "iat" in policy.required or payload.get("iat") is not None:
        return _time(payload, "iat")
    return float(math.ceil(expires_at - policy.max_lifetime_seconds))


def _not_before(payload: Mapping[str, Any], policy: IssuerPolicy, issued_at: float) -> float:
    """Read ``nbf``; without one, the token begins when it was issued."""
    required = "nbf" in policy.required
    return _time(payload, "nbf") if required or "nbf" in payload else issued_at


def _audience(payload: Mapping[str, Any], policy: IssuerPolicy) -> tuple[str, ...]:
    """Read ``aud``, or the claim that stands for it with an issuer that sends none.

    A token with both is denied: its ``aud`` says for whom it is, as an ID token's does.
    """
    if policy.audience_claim != "aud":
        if payload.get("aud") is not None:
            raise _malformed("aud", f"absent, as audience_claim is {policy.audience_claim}")
        return (_text(payload, policy.audience_claim),)
    value = _required(payload, "aud")
    listed = value if isinstance(value, list) else [value]
    if not listed or len(listed) > MAX_LISTED:
        raise _malformed("aud", f"one to {MAX_LISTED} strings")
    if not all(isinstance(entry, str) and entry for entry in listed):
        raise _malformed("aud", "a non-empty string or an array of them")
    return tuple(listed)


def read_tenant(payload: Mapping[str, Any]) -> str:
    """Read ``tenantId``: a UUID, in lower case from here on (SECURITY-MODEL §7)."""
    value = _required(payload, "tenantId")
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise _malformed("tenantId", "a UUID")
    return value.lower()


def read_roles(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the optional array of roles; a comma in one would add another in the header."""
    value = payload.get("roles")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_LISTED:
        raise _malformed("roles", f"an array of at most {MAX_LISTED} strings")
    for entry in value:
        if not isinstance(entry, str) or not _VISIBLE.fullmatch(entry) or "," in entry:
            raise _malformed("roles", "an array of names in visible ASCII without commas")
    return tuple(value)


def read_scopes(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Read ``scope``: names separated by single spaces (RFC 8693 §4.2)."""
    value = payload.get("scope")
    if value is None:
        return ()
    if not isinstance(value, str):
        raise _malformed("scope", "a string")
    scopes = tuple(value.split(" ")) if value else ()
    if len(scopes) > MAX_LISTED or not all(_VISIBLE.fullmatch(scope) for scope in scopes):
        raise _malformed("scope", f"at most {MAX_LISTED} names separated by single spaces")
    return scopes


MODEL_MAPPING = ClaimsMapping(
    tenant=TenantPlace(parse_claim_path("tenantId")),
    user=parse_claim_path("sub"),
    token_id=parse_claim_path("jti"),
    client=None,
    roles=(NamesPlace(parse_claim_path("roles"), optional=True),),
    scopes=(NamesPlace(parse_claim_path("scope"), type="spaces", optional=True),),
)
"""The security model's claims as a mapping, for an issuer that leaves some of them out."""
