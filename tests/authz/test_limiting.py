"""Rate limits on a Check: who is counted by what, and what a client over a limit is told."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from sidecar.authz import evaluate
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.reasons import Grant, Reason
from sidecar.config import parse_config
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import compile_limits
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.tokens.verifier import VerifiedToken, verify_token
from tests.authz.checks import Answer
from tests.authz.conftest import CONFIG, Bench
from tests.support.ids import numbered_ids
from tests.support.minting import TENANT, Issuer, base_claims

SECOND = 1_000_000_000
OTHER = "0f0f0f0f-0000-4000-8000-000000000000"
LIMITS = """\
limits:
  tenant: {requests: 5}
  address: {requests: 8}
"""
ROUTES = """\
  - {name: few, path_prefix: /few, limits: {total: {requests: 2}, fields: always}}
  - {name: mine, path_prefix: /mine, limits: {token: {requests: 1, per_seconds: 60}}}
  - {name: watched, path_prefix: /watched, limits: {total: {requests: 1, shadow: true}}}
  - {name: tried, path_prefix: /tried, shadow: true, limits: {total: {requests: 1}}}
  - {name: all, path_prefix: /, hosts: [all.example]}
  - name: login
    path: /login
    auth: none
    methods: [POST]
    cors: pages
    limits: {login: {account_json: /email, account_attempts: {requests: 7, per_seconds: 60}}}
routes_end:
"""
CORS = "  cors: {pages: {origins: ['https://page.example']}}\n"


@dataclass
class Limited(Bench):
    """A service with limits, and a monotonic clock that the test moves."""

    at_ns: int = SECOND
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    limits: str = LIMITS

    def __post_init__(self) -> None:
        routes = ROUTES.replace("routes_end:\n", "headers:\n" + CORS)
        config = parse_config(
            self.limits + CONFIG.replace("headers:\n", routes, 1), "test of limits"
        )
        policy = compile_limits(config)
        assert policy is not None
        self.limiter = RateLimiter(policy, b"k" * 32, counts=self.counts)
        self.service = CheckService(
            build_snapshot(config, self.issuer.ring),
            now=lambda: self.now,
            elapsed_ns=lambda: self.at_ns,
            new_id=numbered_ids(),
            observer=self,
            on_fault=self.faults.append,
            cache=self.cache,
            limiter=self.limiter,
        )

    def statuses(self, times: int, token: bytes | None = None, **changes: object) -> list[int]:
        return [self.ask(token, **changes).status for _ in range(times)]


@pytest.fixture
def limited(issuer: Issuer) -> Limited:
    return Limited(issuer, cache=TokenCache())


def test_a_tenant_over_its_limit_is_told_when_to_come_back(limited: Limited) -> None:
    token = limited.issuer.mint()
    assert limited.statuses(5, token) == [200] * 5
    answer = limited.ask(token)
    assert answer.status == 429
    assert answer.response_headers["retry-after"] == "1"
    assert answer.response_headers["ratelimit-policy"] == '"tenant";q=5;w=1'
    assert answer.response_headers["ratelimit"] == '"tenant";r=0;t=1'
    assert answer.response_headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["reason"] == "rate_limited"
    assert answer.metadata["grpc_status"] == "8"  # RESOURCE_EXHAUSTED
    limited.at_ns += SECOND // 5
    assert limited.statuses(2, token) == [200, 429]


def test_a_refusal_is_one_audit_line_that_names_limit_rate_and_wait(limited: Limited) -> None:
    token = limited.issuer.mint()
    limited.statuses(5, token)
    before = len(limited.outcomes)
    limited.ask(token)
    assert len(limited.outcomes) == before + 1
    decision = limited.last.decision
    assert decision.outcome is Reason.RATE_LIMITED
    assert decision.detail == (
        "tenant: 5 requests per second, burst 5; would have passed in 0.200 s"
    )
    assert decision.token is not None
    assert decision.token.claims.tenant_id == TENANT
    assert limited.counts == {("refused", "tenant", "api"): 1}


def test_tenants_are_counted_apart(limited: Limited) -> None:
    one, other = limited.issuer.mint(), limited.issuer.mint(tenantId=OTHER)
    sources = {"source": "198.51.100.1"}, {"source": "198.51.100.2"}
    assert limited.statuses(6, one, **sources[0])[-1] == 429
    assert limited.statuses(5, other, **sources[1]) == [200] * 5


def test_an_address_is_counted_whatever_it_sends_and_ipv6_by_its_64(limited: Limited) -> None:
    forged = Issuer.generate("key-1").mint()
    inside = [f"2001:db8:0:7::{number:x}" for number in range(1, 10)]
    statuses = [limited.ask(forged, source=each).status for each in inside]
    assert statuses == [401] * 8 + [429]
    assert limited.ask(limited.issuer.mint(), source=inside[0]).status == 429
    assert limited.ask(limited.issuer.mint(), source="2001:db8:0:8::1").status == 200
    assert limited.ask(path="/nowhere", source=inside[0]).status == 429


def test_headers_say_nothing_about_the_address(limited: Limited) -> None:
    lies = [{"x-forwarded-for": f"192.0.2.{number}"} for number in range(9)]
    statuses = [limited.ask(path="/public", headers=each).status for each in lies]
    assert statuses == [200] * 8 + [429]


def test_the_tightest_limit_decides_and_a_refusal_spends_nothing_elsewhere(
    limited: Limited,
) -> None:
    token = limited.issuer.mint()
    assert limited.statuses(4, token, path="/mine") == [200, 429, 429, 429]
    assert limited.last.decision.detail.startswith("route/mine/token: 1 request per 60 seconds")
    # The tenant's five were charged once, not four times.
    assert limited.statuses(5, token) == [200] * 4 + [429]


def test_a_route_may_show_its_limit_on_answers_that_pass(limited: Limited) -> None:
    token = limited.issuer.mint()
    shown = [limited.ask(token, path="/few").response_headers.get("ratelimit") for _ in range(3)]
    assert shown == ['"route";r=1;t=1', '"route";r=0;t=1', '"route";r=0;t=1']
    assert "ratelimit" not in limited.ask(token).response_headers


@pytest.mark.parametrize("path", ["/watched", "/tried"])
def test_in_shadow_mode_what_is_over_the_limit_is_counted_and_passes(
    limited: Limited, path: str
) -> None:
    token = limited.issuer.mint()
    assert limited.statuses(3, token, path=path) == [200] * 3
    assert limited.counts == {("shadow", "route", path[1:]): 2}


def test_a_failure_of_the_sidecar_s_counts_for_nobody(limited: Limited) -> None:
    limited.service.snapshot = build_snapshot(parse_config(LIMITS + CONFIG, "test"), EMPTY_RING)
    assert limited.statuses(9, limited.issuer.mint()) == [503] * 9


# The login throttle.


def login(limited: Limited, email: str, source: str = "198.51.100.7", **others: object) -> Answer:
    body = others.pop("body", json.dumps({"email": email}).encode())
    headers = {"content-type": "application/json", **others.pop("headers", {})}  # type: ignore[dict-item]
    return limited.ask(path="/login", method="POST", source=source, body=body, headers=headers)


def test_five_attempts_a_minute_for_an_address_and_an_account(limited: Limited) -> None:
    assert [login(limited, "a@example.com").status for _ in range(6)] == [200] * 5 + [429]
    assert login(limited, "b@example.com").status == 200
    assert login(limited, "a@example.com", "198.51.100.8").status == 200
    limited.at_ns += 12 * SECOND
    assert login(limited, "a@example.com").status == 200


def test_an_attack_on_one_account_from_many_addresses_is_bounded(limited: Limited) -> None:
    statuses = [login(limited, "a@example.com", f"198.51.100.{n}").status for n in range(8)]
    assert statuses == [200] * 7 + [429]
    assert limited.counts == {("refused", "account", "login"): 1}


def test_nothing_of_the_account_is_kept_or_said(limited: Limited) -> None:
    answers = [login(limited, "Alice@Example.com") for _ in range(6)]
    assert "alice" not in str(answers).lower()
    kept = [
        each.key for each in limited.limiter.buckets() if each.limit.kind in {"login", "account"}
    ]
    assert len(kept) == 2
    assert all("alice" not in key.lower() and "198.51" not in key for key in kept)
    assert "alice" not in limited.last.decision.detail.lower()
    others = [login(limited, "nobody@example.com", "198.51.100.8") for _ in range(6)]
    known, unknown = answers[-1], others[-1]
    assert (known.status, known.response_headers) == (unknown.status, unknown.response_headers)


def test_a_preflight_of_a_login_is_no_attempt(limited: Limited) -> None:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    for number in range(7):
        source = f"198.51.100.{number}"
        limited.ask(path="/login", method="OPTIONS", source=source, headers=dict(asked))
        assert limited.last.decision.outcome is Grant.PREFLIGHT
    assert {each.limit.kind for each in limited.limiter.buckets()} == {"address"}


def test_refusals_of_one_route_each_say_their_own_limit(limited: Limited) -> None:
    token, other = limited.issuer.mint(jti="one"), limited.issuer.mint(jti="two")
    limited.statuses(1, token, path="/mine")
    limited.statuses(1, other, path="/mine")
    first = limited.ask(token, path="/mine").response_headers
    limited.at_ns += 30 * SECOND
    second = limited.ask(other, path="/mine").response_headers
    assert (first["retry-after"], second["retry-after"]) == ("60", "30")


def test_an_address_over_its_limit_gets_no_signature_check(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[bytes] = []

    def counting(raw: bytes, *arguments: Any, **named: Any) -> VerifiedToken:
        verified.append(raw)
        return verify_token(raw, *arguments, **named)

    monkeypatch.setattr(evaluate, "verify_token", counting)
    statuses = [limited.ask(Issuer.generate("key-1").mint(jti=f"{n}")).status for n in range(12)]
    assert statuses == [401] * 8 + [429] * 4
    assert len(verified) == 8


def test_a_spelling_does_not_lead_around_a_route_s_own_limit(limited: Limited) -> None:
    assert limited.ask(limited.issuer.mint(), path="/few").status == 200
    answer = limited.ask(limited.issuer.mint(), path="/FEW", host="all.example")
    assert (answer.status, answer.metadata["reason"]) == (400, "path_ambiguous")


def test_what_is_cached_and_what_is_not_are_counted_alike(issuer: Issuer) -> None:
    assert Limited(issuer, cache=None).statuses(6, issuer.mint()) == [200] * 5 + [429]


def test_claims_of_a_forged_token_charge_no_tenant(limited: Limited) -> None:
    forged = Issuer.generate("key-1").mint(**base_claims())
    for number in range(6):
        limited.ask(forged, source=f"192.0.2.{number}")
    assert limited.statuses(5, limited.issuer.mint()) == [200] * 5


def test_a_request_that_can_t_be_read_is_no_ones(limited: Limited) -> None:
    limited.handle(b"\xff")
    assert limited.last.decision.outcome is Reason.REQUEST_MALFORMED
