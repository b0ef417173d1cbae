"""Tenants' domains that a registry knows, as Checks see them: whose token, whose page."""

from typing import Any

import pytest

from sidecar.authz.snapshot import build_snapshot
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import parse_config
from sidecar.runtime.check import give_domains
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import Answer
from tests.authz.conftest import CONFIG, Bench
from tests.support.minting import TENANT, Issuer

B = "0b0b0b0b-0000-4000-8000-000000000000"
OVERLAY = f"""\
  - tenant_id: {B}
    domain: b.example
    csp: {{shell: {{connect-src: ["'none'"]}}}}
"""
HOSTS = ("one.b-shop.example", "two.b-shop.test")
TOKENS: dict[tuple[str, int], bytes] = {}
REGISTERED = RegisteredDomains.of([("b-shop.example", B), ("two.b-shop.test", B)])


@pytest.fixture
def bench(issuer: Issuer) -> Bench:
    made = Bench(issuer, config=CONFIG + OVERLAY, cache=TokenCache(64))
    give_domains(made.service, REGISTERED)
    return made


def ask(bench: Bench, host: str, path: str, tenant: str | None) -> Answer:
    if tenant is None:
        return bench.ask(host=host, path=path)
    key = (tenant, id(bench))
    if key not in TOKENS:  # the very same bytes, so that it is cached
        TOKENS[key] = bench.issuer.mint(tenantId=tenant, jti=f"of-{tenant}")
    return bench.ask(TOKENS[key], host=host, path=path)


def connect_src(answer: Answer) -> str:
    policy: str = answer.response_headers["content-security-policy"]
    (found,) = (part for part in policy.split("; ") if part.startswith("connect-src"))
    return found


@pytest.mark.parametrize("host", HOSTS)
def test_a_token_of_another_tenant_is_refused_on_every_domain_of_a_tenant(
    bench: Bench, host: str
) -> None:
    for _ in range(3):  # cached or not
        assert ask(bench, host, "/api/x", TENANT).metadata["reason"] == "tenant_mismatch"
        assert ask(bench, host, "/api/x", B).allowed
    assert ask(bench, "edge.example", "/api/x", TENANT).allowed
    assert ask(bench, host, "/public/x", TENANT).allowed, "where none is read"


@pytest.mark.parametrize("tenant", [None, B], ids=["no token", "its own token"])
@pytest.mark.parametrize("host", HOSTS)
def test_its_pages_have_its_overlay(bench: Bench, host: str, tenant: str | None) -> None:
    path = "/shell/x" if tenant is not None else "/public/x"
    assert connect_src(ask(bench, host, path, tenant)) == "connect-src 'none'"
    assert connect_src(ask(bench, "edge.example", "/public/x", None)) == "connect-src 'self'"


def test_a_change_decides_the_very_next_check_of_a_token_that_passed(bench: Bench) -> None:
    host = "late.example"
    for _ in range(3):
        assert ask(bench, host, "/api/x", TENANT).allowed
    give_domains(bench.service, REGISTERED.changed({host: B}))
    assert ask(bench, host, "/api/x", TENANT).metadata["reason"] == "tenant_mismatch"
    give_domains(bench.service, REGISTERED.changed({host: TENANT}))
    assert ask(bench, host, "/api/x", TENANT).allowed
    assert ask(bench, host, "/api/x", B).metadata["reason"] == "tenant_mismatch"
    give_domains(bench.service, REGISTERED)
    assert ask(bench, host, "/api/x", TENANT).allowed


def test_the_same_domains_again_keep_the_snapshot(bench: Bench) -> None:
    snapshot = bench.service.snapshot
    give_domains(bench.service, REGISTERED)
    assert bench.service.snapshot is snapshot


def test_what_is_configured_is_not_taken_over_by_a_registration(bench: Bench) -> None:
    give_domains(bench.service, REGISTERED.changed({"shop.acme.example": B}))
    assert ask(bench, "shop.acme.example", "/api/x", TENANT).allowed
    assert ask(bench, "shop.acme.example", "/api/x", B).metadata["reason"] == "tenant_mismatch"


CORS = """
  cors:
    tenants: {origins: ["https://{tenant_domain}"], credentials: true}
"""


def test_pages_of_a_registered_domain_may_read_its_tenants_answers(issuer: Issuer) -> None:
    text = (CONFIG + OVERLAY).replace(
        "path_prefix: /api, csp: api", "path_prefix: /api, csp: api, cors: tenants"
    )
    text = text.replace("  remove_from_request: [x-internal-debug]\n", CORS.lstrip("\n"))
    snapshot = build_snapshot(parse_config(text, "test"), issuer.ring)
    headers = snapshot.headers._replace(registered=REGISTERED)
    rows: list[tuple[Any, ...]] = [
        (b"https://two.b-shop.test", "api.example", B, "https://two.b-shop.test"),
        (b"https://two.b-shop.test", "api.example", TENANT, ""),
        (b"https://two.b-shop.test", "one.b-shop.example", None, "https://two.b-shop.test"),
        (b"https://two.b-shop.test", "shop.acme.example", None, ""),
        (b"https://stranger.example", "api.example", B, ""),
    ]
    for origin, host, tenant, reader in rows:
        assert headers.reader("tenants", origin, host, tenant) == reader
