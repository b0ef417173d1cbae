"""Nonces and origins on the way through the service, the slow path and the short one."""

import re
import tracemalloc
from typing import Any

import pytest

from sidecar.authz.evaluate import decide
from sidecar.authz.recorder import entry_of
from sidecar.authz.response_cache import ORIGIN_WEIGHT
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import Answer, check_request
from tests.authz.conftest import Bench
from tests.support.minting import AUDIENCE, ISSUER, TENANT, Issuer

CONFIG = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /x}}}}
tokens: {{issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}]}}
routes:
  - {{name: document, path_prefix: /document, auth: optional, csp: document, nonce: no-store}}
  - {{name: open, path_prefix: /open, auth: none, csp: api, cors: platform}}
  - {{name: api, path_prefix: /api, csp: api, cors: platform}}
  - {{name: trial, path_prefix: /trial, csp: api, cors: platform, shadow: true}}
headers:
  csp:
    document:
      enforced: [{{script-src: ["'nonce-{{nonce}}'"], style-src: ["'nonce-{{nonce}}'"]}}]
  cors:
    platform:
      origins: ["https://app.example", "https://*.dev.example", "https://{{tenant_domain}}"]
tenants:
  - {{tenant_id: {TENANT}, domain: shop.acme.example}}
"""
APP, DEV = {"origin": "https://app.example"}, {"origin": "https://a.dev.example"}
EVIL = {"origin": "https://evil.example"}
ALLOW_ORIGIN = "access-control-allow-origin"


@pytest.fixture
def bench(issuer: Issuer) -> Bench:
    return Bench(issuer, config=CONFIG, cache=TokenCache())


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every Check that takes the slow path, by its request."""
    requests: list[object] = []

    def counted(view: object, *rest: Any, **named: Any) -> Any:
        requests.append(view)
        return decide(view, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("sidecar.authz.slow_path.decide", counted)
    return requests


def nonces(answer: Answer) -> set[str]:
    policy = answer.response_headers["content-security-policy"]
    found = re.findall(r"'nonce-([A-Za-z0-9_-]{24})'", policy)
    assert len(found) == 2
    return {*found, answer.set_headers["x-csp-nonce"]}


@pytest.mark.parametrize("signed_in", [False, True])
def test_each_answer_has_one_nonce_of_its_own(
    bench: Bench, decided: list[object], signed_in: bool
) -> None:
    token = bench.issuer.mint() if signed_in else None
    answers = [bench.ask(token, path="/document/a", headers={}) for _ in range(5)]
    assert len(decided) == 1, "all but the first went the fast path"
    assert all(len(nonces(answer)) == 1 for answer in answers)
    assert len(set().union(*map(nonces, answers))) == 5
    for answer in answers:
        assert answer.response_headers["cache-control"] == "no-store"
        assert "x-csp-nonce" not in answer.removed
        assert {"if-none-match", "if-modified-since"} <= set(answer.removed)
        assert {"x_csp_nonce", "x-csp_nonce"} <= set(answer.removed)
        assert ("x-tenant-id" in answer.set_headers) is signed_in


def test_the_fast_path_tells_each_origin_what_the_slow_path_told_it(
    bench: Bench, decided: list[object]
) -> None:
    token = bench.issuer.mint()
    first, second = (
        [bench.ask(token, path="/api/x", headers=dict(each)) for each in (APP, DEV, {}, EVIL)]
        for _ in range(2)
    )
    for answer in (*first, *second):
        del answer.metadata["decision_id"]
    assert first == second
    assert [each.response_headers.get(ALLOW_ORIGIN) for each in first] == [
        "https://app.example",
        "https://a.dev.example",
        None,
        None,
    ]
    assert all(each.response_headers["vary"] == "origin" for each in first)
    assert len(decided) == 4 + 1, "an origin that is not admitted is not cached"


def test_a_tenants_page_reads_its_own_tenants_answers(bench: Bench) -> None:
    own = {"origin": "https://shop.acme.example"}
    for _ in range(2):
        mine = bench.ask(bench.issuer.mint(), path="/api/x", headers=dict(own))
        other = bench.ask(
            bench.issuer.mint(tenantId=TENANT.replace("7", "8")), path="/api/x", headers=dict(own)
        )
        assert mine.response_headers[ALLOW_ORIGIN] == "https://shop.acme.example"
        assert ALLOW_ORIGIN not in other.response_headers


def preflight(bench: Bench, path: str, origin: dict[str, str]) -> Answer:
    headers = {**origin, "access-control-request-method": "GET"}
    return bench.ask(method="OPTIONS", path=path, headers=headers)


def test_a_preflight_is_never_taken_for_an_options_request_of_the_same_target(
    bench: Bench,
) -> None:
    for _ in range(2):
        assert bench.ask(method="OPTIONS", path="/open/x").metadata["reason"] == "public"
        answer = preflight(bench, "/open/x", APP)
        assert (answer.allowed, answer.status) == (False, 204)
        assert answer.metadata["reason"] == "preflight"
        assert preflight(bench, "/open/x", EVIL).metadata["reason"] == "origin_not_allowed"


def test_a_preflight_brings_no_token_and_gets_no_context(bench: Bench) -> None:
    answer = preflight(bench, "/api/x", APP)
    assert answer.response_headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert answer.set_headers == {}
    line = entry_of(bench.last)
    assert (line.outcome, line.reason, line.status, line.route, line.method) == (
        "allow", "preflight", 204, "api", "OPTIONS",
    )  # fmt: skip


def test_in_shadow_mode_a_preflight_that_would_be_refused_passes(bench: Bench) -> None:
    answer = preflight(bench, "/trial/x", EVIL)
    assert answer.allowed
    assert answer.metadata["shadow"] == "origin_not_allowed"


def test_refusals_tell_an_admitted_origin_why_and_no_other(bench: Bench) -> None:
    for _ in range(2):
        known = bench.ask(path="/api/x", headers=dict(APP))
        unknown = bench.ask(path="/api/x", headers=dict(EVIL))
        assert (known.status, unknown.status) == (401, 401)
        assert known.response_headers[ALLOW_ORIGIN] == "https://app.example"
        assert ALLOW_ORIGIN not in unknown.response_headers
        assert unknown.response_headers["vary"] == "origin"


def test_admitted_origins_fill_no_table_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is no browser writes what it likes into ``Origin``, below the suffix too."""
    monkeypatch.setattr("sidecar.authz.response_cache.MAX_TEMPLATES", 10 * ORIGIN_WEIGHT)
    for number in range(50):
        origin = {"origin": f"https://o{number}.dev.example"}
        assert bench.ask(path="/open/x", headers=origin).allowed
    places = {target.route_scope for target in bench.service._response_cache.targets.values()}
    assert 0 < sum(len(route_scope.answers) for route_scope in places) <= 10


def test_memory_stays_flat_under_a_flood_of_origins(bench: Bench) -> None:
    def flood(start: int) -> None:
        for number in range(start, start + 300):
            origin = {"origin": f"https://o{number}.evil.example"}
            bench.handle(check_request(path="/open/x", headers=origin))
            bench.handle(check_request(path="/api/x", headers=origin))
            bench.outcomes.clear()
            bench.allowed_checks.clear()

    flood(0)
    tracemalloc.start()
    try:
        flood(10_000)
        before = tracemalloc.get_traced_memory()[0]
        flood(20_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 30_000
