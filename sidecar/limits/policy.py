"""Compiles the settings into limits: which ones hold on a route, and which is a key's own.

A key is ``<identity>|<value>``: the identity of a limit, and whom it counts. The process that
adds up what its workers spend finds the limit of a key here; so a worker that was taken over
can't invent one.
"""

from collections.abc import Iterable, Mapping

import msgspec

from sidecar.config import model
from sidecar.config.limits import LoginSettings, RateSettings, RouteLimitSettings
from sidecar.limits.bucket import SEPARATOR, Limit, LimitKind

TENANT = "tenant"
UNMATCHED = "unmatched"
"""The route's name where none matches (``authz.routes``)."""
ROUTE_VALUE = "*"
"""Whom the limit ``total`` of a route counts: everybody together."""
MAX_KEY = 512
"""The most characters of a key."""


class LoginThrottle(msgspec.Struct, frozen=True):
    """The throttle of a route on which users log in."""

    pair: Limit
    """By address and account."""
    account: Limit
    pointer: tuple[str, ...] = ()
    """The names of a JSON pointer; empty where the account is a form's field."""
    form_field: str = ""
    max_body_bytes: int = 8192


class RouteLimits(msgspec.Struct, frozen=True):
    """What is counted on a route. ``only_tenant`` marks the most common one, for the fast path."""

    route: str = UNMATCHED
    tenant: tuple[Limit, ...] = ()
    address: tuple[Limit, ...] = ()
    token: tuple[Limit, ...] = ()
    total: Limit | None = None
    login: LoginThrottle | None = None
    reports: bool = False
    """Answers that pass have the RateLimit fields."""
    only_tenant: bool = False
    has_own: bool = False
    """The route has limits that other routes have not."""
    shadow: bool = False
    """The route is in shadow mode: what is over a limit is counted and passes."""
    counted: tuple[tuple[str, int, Limit], ...] = ()
    """The limits above but ``login``, in one row for the fast path: identity, by what (tenant,
    address, token or route, from 0), limit. It is made of them."""

    def __post_init__(self) -> None:
        """Set ``counted``."""
        total = () if self.total is None else (self.total,)
        rows = enumerate((self.tenant, self.address, self.token, total))
        counted = tuple((each.identity, which, each) for which, limits in rows for each in limits)
        msgspec.structs.force_setattr(self, "counted", counted)


class LimitsPolicy(msgspec.Struct, frozen=True):
    """Every limit of a configuration.

    ``tenants`` are tenants' own limits, by tenant; ``unmatched`` is what holds where no route
    matches.
    """

    routes: Mapping[str, RouteLimits]
    unmatched: RouteLimits
    limits: Mapping[str, Limit]
    tenants: Mapping[str, Limit]

    def limit_of(self, key: str) -> Limit | None:
        """Return the limit of a key; ``None`` for a key that no process of ours makes."""
        identity, separator, value = key.partition(SEPARATOR)
        if not separator or len(key) > MAX_KEY:
            return None
        if identity == TENANT and value in self.tenants:
            return self.tenants[value]
        return self.limits.get(identity)

    def with_tenants(self, tenants: Mapping[str, Limit]) -> "LimitsPolicy":
        """Return this policy with other limits of tenants."""
        return msgspec.structs.replace(self, tenants=tenants)


def tenant_of(key: str) -> str | None:
    """Return whose key it is, of the limit of tenants on all routes; ``None`` for another's."""
    identity, _, tenant = key.partition(SEPARATOR)
    return tenant if identity == TENANT and tenant else None


def compile_limits(config: model.Config) -> LimitsPolicy | None:
    """Compile the section ``limits`` and those of routes and tenants; ``None`` for no limits."""
    settings = config.limits
    if settings is None:
        return None
    tenant = _limits(TENANT, "tenant", settings.tenant)
    address = _limits("address", "address", settings.address)
    token = _limits("token", "token", settings.token)
    routes = {route.name: _of_route(route, tenant, address, token) for route in config.routes}
    every = [*tenant, *address, *token, *_all(routes.values())]
    return LimitsPolicy(
        routes=routes,
        unmatched=RouteLimits(address=address),
        limits={limit.identity: limit for limit in every},
        tenants={
            each.tenant_id: make_limit(TENANT, "tenant", each.limit)
            for each in config.tenants
            if each.limit is not None
        },
    )


def make_limit(
    identity: str, kind: LimitKind, rate: RateSettings, *, strict: bool = False
) -> Limit:
    """Compile one rate."""
    burst = rate.requests if rate.burst is None else rate.burst
    return Limit(identity, kind, rate.requests, rate.per_seconds, burst, rate.shadow, strict)


def _limits(identity: str, kind: LimitKind, rate: RateSettings | None) -> tuple[Limit, ...]:
    return () if rate is None else (make_limit(identity, kind, rate),)


def _of_route(
    route: model.RouteSettings,
    tenant: tuple[Limit, ...],
    address: tuple[Limit, ...],
    token: tuple[Limit, ...],
) -> RouteLimits:
    """Join the limits of all routes and a route's own; no route's name has a slash."""
    name, own = route.name, route.limits or RouteLimitSettings()
    limits = RouteLimits(
        route=name,
        tenant=tenant + _limits(f"route/{name}/tenant", "tenant", own.tenant),
        address=address + _limits(f"route/{name}/address", "address", own.address),
        token=token + _limits(f"route/{name}/token", "token", own.token),
        total=None if own.total is None else make_limit(f"route/{name}", "route", own.total),
        login=None if own.login is None else _login(name, own.login),
        reports=own.fields == "always",
        has_own=route.limits is not None,
        shadow=route.shadow,
    )
    plain = RouteLimits(route=name, tenant=tenant)
    only_tenant = limits == plain and not any(limit.shadow for limit in tenant)
    return msgspec.structs.replace(limits, only_tenant=only_tenant)


def _login(name: str, login: LoginSettings) -> LoginThrottle:
    pointer = login.account_json
    return LoginThrottle(
        pair=make_limit(f"route/{name}/login", "login", login.attempts, strict=True),
        account=make_limit(f"route/{name}/account", "account", login.account_attempts, strict=True),
        pointer=() if pointer is None else _names(pointer),
        form_field=login.account_form or "",
        max_body_bytes=login.max_body_bytes,
    )


def _names(pointer: str) -> tuple[str, ...]:
    """Split a JSON pointer (RFC 6901 §4)."""
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:])


def _all(routes: Iterable[RouteLimits]) -> Iterable[Limit]:
    for route in routes:
        yield from (*route.tenant, *route.address, *route.token)
        if route.total is not None:
            yield route.total
        if route.login is not None:
            yield from (route.login.pair, route.login.account)
