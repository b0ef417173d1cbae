"""What really reaches a browser: policies, nonces, CORS, and what becomes of the application's."""

import re
from collections.abc import Iterator

import pytest

from sidecar.common.clock import wall_seconds
from tests.integration.headers_edge import HeadersEdge, values
from tests.support.minting import AUDIENCE, ISSUER, base_claims

pytestmark = pytest.mark.real

CONFIG = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /x}}}}
tokens: {{issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}]}}
routes:
  - {{name: page, path_prefix: /page, auth: none}}
  - {{name: document, path_prefix: /document, auth: none, csp: document, nonce: no-store}}
  - {{name: both, path_prefix: /both, auth: none, csp: both}}
  - {{name: own, path_prefix: /own, auth: none, csp: none}}
  - {{name: api, path_prefix: /api, csp: api, cors: platform}}
headers:
  csp:
    document:
      enforced:
        - {{script-src: ["'nonce-{{nonce}}'"], frame-ancestors: ["'self'"]}}
        - {{style-src: ["'nonce-{{nonce}}'"]}}
      report_only: [{{script-src: ["'nonce-{{nonce}}'"], connect-src: ["'self'"]}}]
    both:
      enforced: [{{script-src: ["'self'"]}}]
      application_csp: intersect
      application_headers: keep
      cross_origin_embedder_policy: require-corp
  cors:
    platform: {{origins: ["https://app.example"], credentials: true}}
"""
ORIGIN = ("origin", "https://app.example")
EVIL = ("origin", "https://evil.example")
WANTED = ("access-control-request-method", "POST")
HSTS = "max-age=31536000; includeSubDomains; preload"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeadersEdge]:
    with HeadersEdge(CONFIG, tmp_path_factory.mktemp("edge")) as running:
        yield running
    assert running.faults == []


def bearer(edge: HeadersEdge) -> tuple[str, str]:
    token = edge.issuer.mint(**base_claims(wall_seconds()))
    return "authorization", f"Bearer {token.decode()}"


def test_the_applications_weaker_headers_are_replaced(edge: HeadersEdge) -> None:
    status, headers, _ = edge.ask("/page/x")
    assert status == 200
    (policy,) = values(headers, "content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert values(headers, "strict-transport-security") == [HSTS]
    assert values(headers, "x-content-type-options") == ["nosniff"]
    assert values(headers, "referrer-policy") == ["strict-origin-when-cross-origin"]
    assert values(headers, "x-frame-options") == ["DENY"]
    for name in ("server", "x-powered-by", "access-control-allow-origin"):
        assert values(headers, name) == []


def test_the_applications_policy_holds_beside_ours_where_asked(edge: HeadersEdge) -> None:
    """Two lines: a browser enforces both, so neither can weaken the other."""
    _, headers, _ = edge.ask("/both/x")
    assert values(headers, "content-security-policy") == [
        "default-src *; style-src 'self'",
        "script-src 'self'",
    ]
    assert values(headers, "referrer-policy") == ["unsafe-url"]
    assert values(headers, "cross-origin-embedder-policy") == ["require-corp"]
    assert values(headers, "strict-transport-security") == [HSTS]
    assert values(headers, "x-content-type-options") == ["nosniff"]


def test_the_applications_own_policy_stands_where_the_profile_is_none(edge: HeadersEdge) -> None:
    _, headers, _ = edge.ask("/own/x")
    assert values(headers, "content-security-policy") == ["default-src *; style-src 'self'"]


def test_a_nonce_reaches_application_and_browser_and_never_comes_twice(edge: HeadersEdge) -> None:
    seen = set()
    for _ in range(50):
        status, headers, body = edge.ask(
            "/document/x", ("x-csp-nonce", "evil"), ("X-CSP-Nonce", "evil")
        )
        assert status == 200
        (enforced,) = values(headers, "content-security-policy")
        (watched,) = values(headers, "content-security-policy-report-only")
        assert enforced == (
            f"script-src 'nonce-{body}'; frame-ancestors 'self', style-src 'nonce-{body}'"
        )
        assert watched == f"script-src 'nonce-{body}'; connect-src 'self'"
        assert re.fullmatch(r"[A-Za-z0-9_-]{24}", body)
        seen.add(body)
    assert len(seen) == 50
    assert values(headers, "x-frame-options") == ["SAMEORIGIN"]


def test_a_response_with_a_nonce_is_kept_by_no_cache(edge: HeadersEdge) -> None:
    _, headers, _ = edge.ask("/document/x")
    assert values(headers, "cache-control") == ["no-store"]
    assert values(headers, "cdn-cache-control") == ["no-store"]
    assert values(headers, "surrogate-control") == []
    _, headers, body = edge.ask("/page/x", ("x-csp-nonce", "evil"))
    assert values(headers, "cache-control") == ["public, max-age=86400"]
    assert body == "-", "where there is no nonce a client's own does not arrive"


def test_a_preflight_is_answered_at_the_edge(edge: HeadersEdge) -> None:
    status, headers, body = edge.ask("/api/x", ORIGIN, WANTED, method="OPTIONS")
    assert (status, body) == (204, "")
    assert values(headers, "access-control-allow-origin") == ["https://app.example"]
    assert values(headers, "access-control-allow-methods") == ["GET, HEAD, POST"]
    assert values(headers, "access-control-allow-headers") == ["authorization, content-type"]
    assert values(headers, "access-control-allow-credentials") == ["true"]
    assert values(headers, "access-control-max-age") == ["600"]
    assert values(headers, "vary") == ["origin"]
    assert values(headers, "content-length") in ([], ["0"])
    assert values(headers, "strict-transport-security") == [HSTS]


def test_a_preflight_of_an_unknown_origin_is_refused_and_told_nothing(edge: HeadersEdge) -> None:
    status, headers, body = edge.ask("/api/x", EVIL, WANTED, method="OPTIONS")
    assert status == 403
    assert '"reason":"origin_not_allowed"' in body
    assert [name for name, _ in headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("times", [1, 2], ids=["decided", "remembered"])
def test_who_may_read_an_answer(edge: HeadersEdge, times: int) -> None:
    """The application says that everybody may; it is not asked."""
    token = bearer(edge)
    for _ in range(times):
        _, known, _ = edge.ask("/api/x", token, ORIGIN)
        _, unknown, _ = edge.ask("/api/x", token, EVIL)
        _, none, _ = edge.ask("/api/x", token)
    assert values(known, "access-control-allow-origin") == ["https://app.example"]
    for headers in (unknown, none):
        assert values(headers, "access-control-allow-origin") == []
    for headers in (known, unknown, none):
        assert values(headers, "vary") == ["accept,origin"]


def test_a_page_can_read_why_it_was_refused(edge: HeadersEdge) -> None:
    status, headers, body = edge.ask("/api/x", ORIGIN)
    assert (status, '"reason":"token_missing"' in body) == (401, True)
    assert values(headers, "access-control-allow-origin") == ["https://app.example"]
    status, headers, _ = edge.ask("/api/x", EVIL)
    assert status == 401
    assert values(headers, "access-control-allow-origin") == []
    assert values(headers, "vary") == ["origin"]
    assert values(headers, "server") == []


def test_envoys_own_replies_say_no_server_and_load_nothing(edge: HeadersEdge) -> None:
    status, headers, _ = edge.ask("/page%2fx")
    assert status == 400
    assert values(headers, "server") == []
    assert values(headers, "x-frame-options") == ["DENY"]
    assert values(headers, "content-security-policy") == [
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ]
