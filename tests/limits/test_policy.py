"""Which limits hold on a route, by the settings."""

import msgspec

from sidecar.config import model, parse_config
from sidecar.limits.policy import compile_limits
from tests.authz.conftest import CONFIG
from tests.support.minting import TENANT

OTHER = "0f0f0f0f-0000-4000-8000-000000000000"


def parse(limits: str, routes: str = "") -> model.Config:
    return parse_config(limits + CONFIG.replace("headers:\n", routes + "headers:\n", 1), "test")


def test_without_the_section_nothing_is_limited() -> None:
    assert compile_limits(parse("")) is None


def test_the_defaults_are_the_security_model_s() -> None:
    policy = compile_limits(parse("limits: {}\n"))
    assert policy is not None
    (limit,) = policy.routes["api"].tenant
    assert (limit.requests, limit.per_seconds, limit.burst) == (1000, 1, 1000)
    assert policy.routes["api"].only_tenant
    assert not policy.routes["api"].has_own


def test_a_route_s_own_limits_come_on_top() -> None:
    policy = compile_limits(
        parse(
            "limits: {address: {requests: 50, burst: 100}}\n",
            "  - {name: search, path_prefix: /search, limits: {total: {requests: 20}, "
            "tenant: {requests: 5}, address: {requests: 2}, token: {requests: 1}}}\n",
        )
    )
    assert policy is not None
    limits = policy.routes["search"]
    identities = [each.identity for each in (*limits.tenant, *limits.address, *limits.token)]
    assert identities == [
        "tenant", "route/search/tenant", "address", "route/search/address", "route/search/token",
    ]  # fmt: skip
    assert limits.total is not None
    assert limits.has_own
    assert not limits.only_tenant
    assert not policy.routes["api"].only_tenant, "the address counts there too"
    assert {*identities, "route/search"} == policy.limits.keys()


def test_a_login_s_place_is_compiled() -> None:
    route = (
        "  - {name: login, path: /login, auth: none, methods: [POST], "
        "limits: {login: {account_json: '/user/e~1mail~0x'}}}\n"
    )
    policy = compile_limits(parse("limits: {}\n", route))
    assert policy is not None
    login = policy.routes["login"].login
    assert login is not None
    assert login.pointer == ("user", "e/mail~x")
    assert (login.pair.requests, login.pair.per_seconds, login.pair.strict) == (5, 60, True)
    assert login.account.requests > login.pair.requests


def test_a_key_has_the_limit_it_names_and_a_tenant_its_own() -> None:
    config = parse("limits: {}\n")
    tenants = tuple(
        model.Tenant(
            tenant_id=each.tenant_id, domain=each.domain, limit=model.RateSettings(requests=7)
        )
        for each in config.tenants
    )
    policy = compile_limits(msgspec.structs.replace(config, tenants=tenants))
    assert policy is not None
    own, common = policy.limit_of(f"tenant|{TENANT}"), policy.limit_of(f"tenant|{OTHER}")
    assert own is not None
    assert common is not None
    assert (own.requests, common.requests) == (7, 1000)
    assert policy.limit_of("address|192.0.2.1") is None
