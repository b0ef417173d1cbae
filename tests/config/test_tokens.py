"""The settings of an issuer's tokens: what may be written, and how long a token can matter."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def issuer(settings: str) -> str:
    """Return the smallest configuration with more settings of its issuer."""
    assert "[https://api.example]}]" in MINIMAL
    return MINIMAL.replace("[https://api.example]}]", f"[https://api.example], {settings}}}]")


BAD: list[tuple[str, str]] = [
    ("algorithms: [HS256]", "algorithms[0]"),
    ("algorithms: [none]", "algorithms[0]"),
    ("algorithms: [Ed448]", "algorithms[0]"),
    ("algorithms: [es256]", "algorithms[0]"),
    ("algorithms: []", "algorithms"),
    ("types: [ID]", "types[0]"),
    ("types: []", "types"),
    *((f"tolerate_headers: [{name}]", "tolerate_headers[0]") for name in (
        "jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty", "alg", "typ", "kid"
    )),
    ("audience_claim: sub", "audience_claim"),
    ("claims: {user: ''}", "claims.user"),
    ("claims: {user: 'a b'}", "claims.user"),
    ("claims: {user: '*'}", "claims.user"),
    ("claims: {user: 'a..b'}", "claims.user"),
    ("claims: {user: '\"a'}", "claims.user"),
    ("claims: {user: 'a.b.c.d.e.f.g.h.i'}", "claims.user"),
    ("claims: {tenant: {fixed: acme}}", "claims.tenant.fixed"),
    ("claims: {tenant: {tenants: {}}}", "claims.tenant.tenants"),
    ("claims: {tenant: {tenants: {acme: acme}}}", "claims.tenant.tenants"),
    ("claims: {roles: [{type: list}]}", "claims.roles[0]"),
    ("leeway_seconds: 301", "leeway_seconds"),
    ("max_lifetime_seconds: 0", "max_lifetime_seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "where"), BAD)
def test_what_an_issuer_may_not_say(settings: str, where: str) -> None:
    found = problems(issuer(settings))
    assert found
    assert any(f"tokens.issuers[0].{where}" in each for each in found)


GOOD = [
    "algorithms: [RS256, ES256, EdDSA]",
    "types: [JWT, at+jwt, absent]",
    "tolerate_headers: [x5t, 'x5t#S256', pi.atm]",
    "require: [sub, 'realm_access.roles', '\"https://a.example/t\"']",
    "claims: {user: '\"https://acme.example/user\"', jti: uti, client: azp}",
    f"claims: {{tenant: {{path: organization.*.id, tenants: {{org_7Xk: {TENANT}}}}}}}",
]


@pytest.mark.parametrize("settings", GOOD)
def test_what_an_issuer_may_say(settings: str) -> None:
    parse_config(issuer(settings), "test")


def test_how_long_a_token_matters_is_the_longest_of_any_issuers() -> None:
    plain = parse_config(issuer("algorithms: [ES256]"), "test").tokens
    assert plain.token_seconds == 930
    longer = parse_config(issuer("max_lifetime_seconds: 3600"), "test").tokens
    assert longer.token_seconds == longer.issuer_seconds(longer.issuers[0]) == 3630
    both = parse_config(issuer("max_lifetime_seconds: 60, leeway_seconds: 5"), "test").tokens
    assert both.token_seconds == 65
