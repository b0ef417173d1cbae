"""What the right answer is: an independent model of the rules, with none of the sidecar's code.

``expected`` says what must come of a request in one state of the world; ``judge`` holds an answer
against every state that may have been in force while it was under way. The order of the rules is
that of docs/architecture.md, "A Check": path, route, credential, form, algorithm, key, signature,
claims, revocation, tenant, roles, scopes, bundle. Limits are counted where the requests are sent.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bench.soak.asks import Ask
from bench.soak.policy import NOTHING, TENANTS, Policy, Route, policy_text

TRUSTED = (
    *("x-tenant-id", "x-user-id", "x-roles", "x-token-id"),
    *("x-csp-nonce", "x-module-publisher", "x-module-verified"),
)
"""What an application believes; it must get exactly what the sidecar says, in no spelling more."""
_ALWAYS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_NEVER = ("server", "x-powered-by", "access-control-allow-origin")
_BEFORE_KEY = {
    "twice": (400, "token_ambiguous"),
    "basic": (401, "token_scheme_unsupported"),
    "too_large": (431, "token_too_large"),
    "malformed": (401, "token_malformed"),
    "unsigned": (401, "algorithm_not_allowed"),
    "confused": (401, "algorithm_not_allowed"),
    "unknown_key": (401, "key_unknown"),
}
_AFTER_KEY = {
    "forged": (401, "signature_invalid"),
    "expired": (401, "token_expired"),
    "early": (401, "token_not_yet_valid"),
    "wrong_audience": (401, "audience_mismatch"),
    "wrong_issuer": (401, "issuer_mismatch"),
    "no_subject": (401, "claim_missing"),
    "refresh": (401, "refresh_token_presented"),
    "too_long": (401, "token_lifetime_too_long"),
}
_BUNDLES = {
    "altered": "module_signature_invalid",
    "unsigned": "module_unsigned",
    "stranger": "module_key_unknown",
}
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 422: 3, 429: 8, 431: 8, 503: 14}
REQUIRED_HEADERS = frozenset({*_ALWAYS, "content-security-policy", "referrer-policy"})


class State(NamedTuple):
    """What a decision depends on, beside the request."""

    policy: Policy
    key_verifies: bool
    revoked: bool
    owner: str
    """The tenant whose name the request was for; empty where the name is the platform's."""
    withdrawn: bool


class Identity(NamedTuple):
    """Whose token was sent."""

    subject: str
    token_id: str


class Expected(NamedTuple):
    """What must come of a request."""

    status: int
    reason: str
    told: Mapping[str, str] | None
    """The trusted headers that the application gets; ``None`` if it must not be reached."""
    csp: str
    referrer: str


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    reason: str
    """Of a denial, by its body; of gRPC empty."""
    headers: Mapping[str, str]
    told: Mapping[str, list[str]] | None
    grpc_code: int | None = None


def expected(ask: Ask, identity: Identity, state: State) -> Expected:
    """Return the one right answer in this state."""
    policy = state.policy

    def denied(status: int, reason: str) -> Expected:
        return Expected(status, reason, None, NOTHING, policy.referrer)

    route = None if ";" in ask.path else policy.route_of(ask.path)
    if route is None:
        return denied(400, "path_ambiguous") if ";" in ask.path else denied(403, "route_unknown")
    if route.auth == "none":
        return Expected(200, "public", {}, route.csp, policy.referrer)
    if ask.credential == "none":
        if route.auth == "optional":
            return Expected(200, "anonymous", {}, route.csp, policy.referrer)
        return denied(401, "token_missing")
    refusal = _token(ask, state) or _grants(ask, route, state.owner)
    if refusal is None and route.install:
        refusal = _bundle(ask, state)
    if refusal is not None:
        return denied(*refusal)
    return Expected(200, "token_verified", _told(ask, identity, route), route.csp, policy.referrer)


def _token(ask: Ask, state: State) -> tuple[int, str] | None:
    if ask.credential in _BEFORE_KEY:
        return _BEFORE_KEY[ask.credential]
    if not state.key_verifies:
        return 401, "key_unknown"
    if ask.credential in _AFTER_KEY:
        return _AFTER_KEY[ask.credential]
    return (401, "token_revoked") if state.revoked else None


def _grants(ask: Ask, route: Route, owner: str) -> tuple[int, str] | None:
    tenant = TENANTS[ask.tenant]
    if (route.tenant and route.tenant != tenant) or (owner and owner != tenant):
        return 403, "tenant_mismatch"
    if route.roles and not set(route.roles) & set(ask.roles):
        return 403, "role_missing"
    if not set(route.scopes) <= set(ask.scope.split()):
        return 403, "scope_missing"
    return None


def _bundle(ask: Ask, state: State) -> tuple[int, str] | None:
    if ask.bundle == "withdrawn" and state.withdrawn:
        return 422, "module_withdrawn"
    reason = _BUNDLES.get(ask.bundle)
    return None if reason is None else (422, reason)


def _told(ask: Ask, identity: Identity, route: Route) -> dict[str, str]:
    told = {
        "x-tenant-id": TENANTS[ask.tenant],
        "x-user-id": identity.subject,
        "x-token-id": identity.token_id,
    }
    if ask.roles:
        told["x-roles"] = ",".join(ask.roles)
    if route.install:
        told |= {"x-module-verified": "true", "x-module-publisher": "acme"}
    return told


def judge(answer: Answer, right: Iterable[Expected]) -> list[str]:
    """Return what is wrong with an answer: nothing, if it is right in one of the states.

    If it is right in none, what is said is of the state to which it is nearest.
    """
    found = [_differences(answer, each) for each in right]
    return min(found, key=len) if found else ["there is no state in which it could be right"]


def _differences(answer: Answer, right: Expected) -> list[str]:
    return [*_decision(answer, right), *_headers(answer, right), *_application(answer, right)]


def _decision(answer: Answer, right: Expected) -> list[str]:
    if answer.grpc_code is not None:
        code = 0 if right.told is not None else _GRPC_CODES[right.status]
        return [] if answer.grpc_code == code else [f"gRPC code {answer.grpc_code}, not {code}"]
    found = []
    if answer.status != right.status:
        found.append(f"status {answer.status}, not {right.status}")
    reason = "" if right.told is not None else right.reason
    if answer.reason != reason:
        found.append(f"reason {answer.reason or 'none'}, not {reason or 'none'}")
    return found


def _headers(answer: Answer, right: Expected) -> list[str]:
    seen = answer.headers
    found = [
        f"{name} is {seen.get(name)!r}"
        for name, value in _ALWAYS.items()
        if seen.get(name) != value
    ]
    found += [f"{name} came through" for name in _NEVER if name in seen]
    if seen.get("referrer-policy") != right.referrer:
        found.append(f"referrer-policy is {seen.get('referrer-policy')!r}, not {right.referrer!r}")
    csp = seen.get("content-security-policy", "")
    nonce = re.search(r"'nonce-([A-Za-z0-9+/_=-]{16,})'", csp)
    wanted = right.csp if right.told is None else policy_text(right.csp, nonce[1] if nonce else "")
    if csp != wanted:
        found.append(f"the policy is {csp!r}, not {wanted!r}")
    given = (answer.told or {}).get("x-csp-nonce", [])
    if given != ([nonce[1]] if nonce else []):
        found.append(f"the application got the nonce {given}, and the policy has another")
    return found


def _application(answer: Answer, right: Expected) -> list[str]:
    if answer.told is None or right.told is None:
        reached, should = answer.told is not None, right.told is not None
        return (
            [] if reached == should else [f"the application was {'' if reached else 'not '}asked"]
        )
    found = []
    for name in TRUSTED:
        if name == "x-csp-nonce":
            continue  # another in each answer: held against the policy above
        values, wanted = answer.told.get(name, []), right.told.get(name)
        if values != ([] if wanted is None else [wanted]):
            found.append(f"the application got {name} {values}, not {wanted}")
    return found
