"""The rules of rate limits: what a limit needs to count anything at all."""

from collections.abc import Iterator

from sidecar.config.limits import MAX_REFILL_SECONDS, LoginSettings, RateSettings
from sidecar.config.model import Config, RouteSettings
from sidecar.config.network import is_loopback
from sidecar.config.problem import Path, Problem


def check_limits(config: Config) -> Iterator[Problem]:
    """Yield the problems of ``limits``, of ``routes[].limits`` and of ``tenants[].limit``."""
    for index, route in enumerate(config.routes):
        yield from _route(config, ("routes", index, "limits"), route)
    for where, rate in _rates(config):
        if rate is not None and rate.refill_seconds > MAX_REFILL_SECONDS:
            yield Problem(
                (*where, "burst"),
                f"would take {rate.refill_seconds / 86_400:.0f} days to refill; at most "
                f"{MAX_REFILL_SECONDS // 86_400} are possible: write a smaller burst",
            )
    if config.limits is None:
        for index, tenant in enumerate(config.tenants):
            if tenant.limit is not None:
                yield Problem(("tenants", index, "limit"), _SECTION)
    yield from _redis(config)


def _rates(config: Config) -> Iterator[tuple[Path, RateSettings | None]]:
    """Yield every rate of the configuration, and where it stands."""
    if config.limits is not None:
        for name in ("tenant", "address", "token"):
            yield ("limits", name), getattr(config.limits, name)
    for index, route in enumerate(config.routes):
        if route.limits is not None:
            where: Path = ("routes", index, "limits")
            for name in ("total", "tenant", "address", "token"):
                yield (*where, name), getattr(route.limits, name)
            if route.limits.login is not None:
                for name in ("attempts", "account_attempts"):
                    yield (*where, "login", name), getattr(route.limits.login, name)
    for index, tenant in enumerate(config.tenants):
        yield ("tenants", index, "limit"), tenant.limit


_SECTION = "needs the section limits; write `limits: {}` for its defaults"


def _route(config: Config, where: Path, route: RouteSettings) -> Iterator[Problem]:
    limits = route.limits
    if limits is None:
        return
    if config.limits is None:
        yield Problem(where, _SECTION)
    for name in ("tenant", "token"):
        if route.auth == "none" and getattr(limits, name) is not None:
            yield Problem(
                (*where, name), "counts nothing: with auth: none no token is read on this route"
            )
    if limits.login is not None:
        yield from _login(config, (*where, "login"), route, limits.login)


def _login(
    config: Config, where: Path, route: RouteSettings, login: LoginSettings
) -> Iterator[Problem]:
    if (login.account_json is None) == (login.account_form is None):
        yield Problem(where, "needs either account_json or account_form")
    if route.module is not None:
        yield Problem(where, "can't be on a route that installs modules: its body is a bundle")
    if not route.methods or not {"POST", "PUT", "PATCH"}.issuperset(route.methods):
        yield Problem(where, "needs methods: [POST], [PUT] or [PATCH]; no other request has a body")
    limit = config.listen.authz.max_message_bytes
    if login.max_body_bytes * 2 > limit:
        yield Problem(
            (*where, "max_body_bytes"),
            f"must be at most half of listen.authz.max_message_bytes, {limit}: "
            "the body is part of that message",
        )


def _redis(config: Config) -> Iterator[Problem]:
    redis = config.limits.redis if config.limits is not None else None
    if redis is None:
        return
    where: Path = ("limits", "redis")
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(redis, name) is not None and not redis.tls:
            yield Problem((*where, name), "needs tls: true")
    if (redis.certificate_file is None) != (redis.key_file is None):
        yield Problem((*where, "key_file"), "is needed together with certificate_file")
    if redis.username is not None and redis.password_file is None:
        yield Problem((*where, "username"), "needs password_file")
    if not redis.tls and not is_loopback(redis.address):
        yield Problem(
            (*where, "tls"),
            "must be true: the server is not on loopback, and the password would be readable",
        )
    if redis.timeout_seconds < redis.sync_seconds / 2:
        yield Problem((*where, "timeout_seconds"), "must be at least half of sync_seconds")
