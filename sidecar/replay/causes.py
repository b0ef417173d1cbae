"""Which setting of the new configuration makes the difference, in the words of the file."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar.common.reasons import Grant, Reason
from sidecar.config import model
from sidecar.replay.decider import Decider, Prediction
from sidecar.replay.line import ALLOW, RecordedLine, inputs_of
from sidecar.replay.verdict import ReplayOutcome

_MAX_VALUE = 160


class _Case(NamedTuple):
    """What a setting is looked up by."""

    config: model.Config
    route: model.RouteSettings | None
    name: str
    line: RecordedLine
    detail: str

    @property
    def issuer(self) -> model.TokenIssuerSettings | None:
        """The settings of the token's issuer; ``None`` where it is not known, or has none."""
        inputs = inputs_of(self.line)
        named = "" if inputs is None else inputs.iss
        return next((each for each in self.config.tokens.issuers if each.issuer == named), None)


_Setting = Callable[[_Case], str]


def cause_of(
    before: ReplayOutcome, prediction: Prediction, line: RecordedLine, decider: Decider
) -> str:
    """Return what makes the difference, for a request that is decided otherwise than before.

    What is lost has the setting that denies; what is gained the one that denied before.
    """
    found = decider.route_of(line)
    route = next((each for each in decider.config.routes if each.name == found), None)
    after = prediction.shadowed or prediction.reason
    reason = after
    if prediction.access == ALLOW and before.access != ALLOW and after not in _WITHOUT_TOKEN:
        reason = before.reason
    if (before.reason == Grant.SHADOW) != (prediction.reason == Grant.SHADOW):
        reason = Grant.SHADOW
    case = _Case(decider.config, route, prediction.route, line, prediction.detail)
    setting = _SETTINGS.get(reason) or _SETTINGS.get(after)
    return "" if setting is None else _short(setting(case))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _of_route(field: str) -> _Setting:
    """Return the setting of a route, by its path in the file."""

    def show(case: _Case) -> str:
        settings: Any = case.route
        if settings is None:
            return f"routes: none matches {case.line.method} on {case.line.host}"
        for name in field.split("."):
            settings = getattr(settings, name, None)
        shown = ", ".join(sorted(settings)) if isinstance(settings, tuple) else settings
        if isinstance(shown, bool):
            shown = str(shown).lower()
        return f"routes[{case.name}].{field}: {shown or 'none'}"

    return show


def _of_issuer(field: str) -> _Setting:
    """Return the setting of the token's issuer with this name."""

    def show(case: _Case) -> str:
        issuer = case.issuer
        if issuer is None:
            inputs = inputs_of(case.line)
            return f"tokens.issuers: {inputs.iss if inputs is not None else ''} is none of them"
        value = getattr(issuer, field)
        if value is None:
            return f"tokens.{field}: {getattr(case.config.tokens, field)}"
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        return f"tokens.issuers[{issuer.issuer}].{field}: {shown}"

    return show


def _of_key(case: _Case) -> str:
    if case.line.kid in case.config.keys.denied_kids:
        return f"keys.denied_kids: {case.line.kid}"
    return _of_issuer("algorithms")(case)


def _of_tenant(case: _Case) -> str:
    if case.route is not None and case.route.tenant is not None:
        return _of_route("tenant")(case)
    return f"tenants[].domain: {case.line.host}"


def _of_cors(case: _Case) -> str:
    if case.route is None or not case.route.cors:
        return _of_route("cors")(case)
    policy = case.config.headers.cors[case.route.cors]
    return f"headers.cors.{case.route.cors}.origins: {', '.join(policy.origins)}"


def _of_pii(case: _Case) -> str:
    pii = case.config.tokens.pii
    return f"tokens.pii: by_name {pii.by_name}, by_value {pii.by_value}"


def _of_limit(case: _Case) -> str:
    limited = case.detail.partition(";")[0]
    return f"limits: {limited} (simulated)" if limited else "limits: none denies it (simulated)"


def _of_size(case: _Case) -> str:
    return f"tokens.max_token_bytes: {case.config.tokens.max_token_bytes}"


_WITHOUT_TOKEN = frozenset({Grant.PUBLIC, Grant.ANONYMOUS, Grant.CLIENT_VERIFIED, Grant.PREFLIGHT})
"""Reasons that say themselves why nothing more was asked."""
_TIME = _of_issuer("leeway_seconds")
_SETTINGS: dict[str, _Setting] = {
    Reason.ROUTE_UNKNOWN: _of_route("path"),
    Reason.PATH_AMBIGUOUS: _of_route("path_reading"),
    Reason.ORIGIN_NOT_ALLOWED: _of_cors,
    Reason.TOKEN_MISSING: _of_route("auth"),
    Reason.TOKEN_AMBIGUOUS: _of_route("token_from"),
    Reason.TOKEN_SCHEME_UNSUPPORTED: _of_route("binding.by"),
    Reason.TOKEN_TOO_LARGE: _of_size,
    Reason.ALGORITHM_NOT_ALLOWED: _of_key,
    Reason.TOKEN_TYPE_NOT_ALLOWED: _of_issuer("types"),
    Reason.HEADER_PARAMETER_NOT_ALLOWED: _of_issuer("tolerate_headers"),
    Reason.KEY_UNKNOWN: _of_key,
    Reason.TOKEN_EXPIRED: _TIME,
    Reason.TOKEN_NOT_YET_VALID: _TIME,
    Reason.TOKEN_ISSUED_IN_FUTURE: _TIME,
    Reason.TOKEN_LIFETIME_TOO_LONG: _of_issuer("max_lifetime_seconds"),
    Reason.ISSUER_MISMATCH: _of_issuer("issuer"),
    Reason.AUDIENCE_MISMATCH: _of_issuer("audiences"),
    Reason.PII_IN_TOKEN: _of_pii,
    Reason.TOKEN_BOUND: _of_route("binding.by"),
    Reason.TOKEN_NOT_BOUND: _of_route("binding.unbound"),
    Reason.TENANT_MISMATCH: _of_tenant,
    Reason.ROLE_MISSING: _of_route("roles"),
    Reason.SCOPE_MISSING: _of_route("scopes"),
    Reason.CLIENT_CERTIFICATE_MISSING: _of_route("clients"),
    Reason.CLIENT_NOT_ALLOWED: _of_route("clients"),
    Reason.RATE_LIMITED: _of_limit,
    Grant.PUBLIC: _of_route("auth"),
    Grant.ANONYMOUS: _of_route("auth"),
    Grant.TOKEN_VERIFIED: _of_route("auth"),
    Grant.CLIENT_VERIFIED: _of_route("clients"),
    Grant.PREFLIGHT: _of_cors,
    Grant.SHADOW: _of_route("shadow"),
}
