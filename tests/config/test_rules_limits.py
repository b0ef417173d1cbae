"""The rules of rate limits: what counts nothing is an error, and Redis is not in the clear."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

LIMITS = "limits: {}\n"


def route(settings: str, limits: str = LIMITS) -> str:
    return MINIMAL.replace("path_prefix: /}", f"path_prefix: /, {settings}}}") + limits


def redis(settings: str) -> str:
    return MINIMAL + f"limits: {{redis: {{{settings}}}}}\n"


LOGIN = "methods: [POST], limits: {login: {account_json: /email}}"
BAD: list[tuple[str, str, str]] = [
    (
        "a route's limit without the section",
        route("limits: {total: {requests: 5}}", ""),
        "routes[0].limits: needs the section limits",
    ),
    (
        "a tenant's limit without the section",
        MINIMAL + "tenants: [{tenant_id: 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11, domain: a.example, "
        "limit: {requests: 5}}]\n",
        "tenants[0].limit: needs the section limits",
    ),
    (
        "tenants on a route without tokens",
        route("auth: none, limits: {tenant: {requests: 5}}"),
        "routes[0].limits.tenant: counts nothing",
    ),
    (
        "tokens on a route without tokens",
        route("auth: none, limits: {token: {requests: 5}}"),
        "routes[0].limits.token: counts nothing",
    ),
    (
        "a login whose account is nowhere",
        route("methods: [POST], limits: {login: {}}"),
        "routes[0].limits.login: needs either account_json or account_form",
    ),
    (
        "a login whose account is in two places",
        route("methods: [POST], limits: {login: {account_json: /a, account_form: a}}"),
        "routes[0].limits.login: needs either account_json or account_form",
    ),
    (
        "a login in a GET",
        route(LOGIN.replace("[POST]", "[GET, POST]")),
        "routes[0].limits.login: needs methods",
    ),
    (
        "a login of any method",
        route(LOGIN.replace("methods: [POST], ", "")),
        "routes[0].limits.login: needs methods",
    ),
    (
        "a body that is larger than its message",
        route(LOGIN.replace("/email", "/email, max_body_bytes: 65536"))
        + "listen: {authz: {max_message_bytes: 100000}}\n",
        "routes[0].limits.login.max_body_bytes: must be at most half",
    ),
    (
        "a burst that never comes back",
        MINIMAL + "limits: {tenant: {requests: 1, per_seconds: 86400, burst: 1000000000}}\n",
        "limits.tenant.burst: would take 1000000000 days to refill",
    ),
    (
        "a login's burst that never comes back",
        route(LOGIN.replace("/email", "/email, attempts: {requests: 1, burst: 10000000}")),
        "routes[0].limits.login.attempts.burst: would take 116 days to refill; at most 31",
    ),
    (
        "Redis in the clear",
        redis("address: 'redis.internal:6379'"),
        "limits.redis.tls: must be true",
    ),
    (
        "a CA without TLS",
        redis("address: '127.0.0.1:6379', ca_file: /ca.pem"),
        "limits.redis.ca_file: needs tls: true",
    ),
    (
        "a certificate without its key",
        redis("address: '127.0.0.1:6379', tls: true, certificate_file: /c.pem"),
        "limits.redis.key_file: is needed together",
    ),
    (
        "a user without a password",
        redis("address: '127.0.0.1:6379', username: septem"),
        "limits.redis.username: needs password_file",
    ),
    (
        "a period longer than the patience",
        redis("address: '127.0.0.1:6379', timeout_seconds: 0.1, sync_seconds: 1"),
        "limits.redis.timeout_seconds: must be at least half",
    ),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert said in problem


def test_a_bundle_s_route_is_no_login() -> None:
    text = route(LOGIN + ", module: signed") + "modules: {}\n"
    assert any("can't be on a route that installs modules" in each for each in problems(text))


GOOD: list[tuple[str, str]] = [
    ("the defaults", MINIMAL + LIMITS),
    ("a login", route(LOGIN)),
    ("a form's", route("methods: [PUT], limits: {login: {account_form: email}}")),
    ("Redis on loopback", redis("address: '127.0.0.1:6379', password_file: /p, username: septem")),
    ("Redis over TLS", redis("address: '[2001:db8::1]:6379', tls: true, ca_file: /ca.pem")),
    ("a public route's total", route("auth: none, limits: {total: {requests: 5, burst: 9}}")),
]


@pytest.mark.parametrize("text", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_what_agrees_loads(text: str) -> None:
    assert parse_config(text, "test.yaml").limits is not None
