"""The settings of issuers, compiled into the rules of the verifier."""

from typing import Any

import pytest

from sidecar.authz.token_policy import token_policy
from sidecar.config import parse_config
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.policy import AT_JWT_TYPES, DEFAULT_REQUIRED, JWT_TYPES, IssuerPolicy
from tests.config.documents import MINIMAL

ISS = "https://iam.example"
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def compiled(settings: str, of_all: str = "") -> IssuerPolicy:
    text = MINIMAL.replace("[https://api.example]}]", f"[https://api.example], {settings}}}]")
    tokens = parse_config(text.replace("tokens:\n", f"tokens:\n{of_all}"), "test").tokens
    return token_policy(tokens).issuers[ISS]


def test_an_issuer_that_says_nothing_is_the_security_models() -> None:
    tokens = parse_config(MINIMAL, "test").tokens
    assert token_policy(tokens).issuers == {
        ISS: IssuerPolicy(audiences=frozenset({"https://api.example"}))
    }
    assert token_policy(tokens).algorithms == {"ES256"}


def test_an_issuer_that_is_not_configured_has_no_rules() -> None:
    policy = token_policy(parse_config(MINIMAL, "test").tokens)
    assert policy.of("https://elsewhere.example") is None
    assert policy.of(None) is None


OF_ALL = "  leeway_seconds: 7\n  max_lifetime_seconds: 100\n  require_nbf: false\n"


def test_the_settings_of_all_are_each_issuers() -> None:
    rules = compiled("keys: {source: vault_kv}", OF_ALL)
    assert (rules.leeway_seconds, rules.max_lifetime_seconds) == (7, 100)
    assert rules.required == DEFAULT_REQUIRED - {"nbf"}
    assert rules.mapping is None


def test_an_issuers_own_go_before_them() -> None:
    settings = "leeway_seconds: 0, max_lifetime_seconds: 3600, require: [sub, jti, iat, nbf]"
    rules = compiled(settings, OF_ALL)
    assert (rules.leeway_seconds, rules.max_lifetime_seconds) == (0, 3600)
    assert rules.required == DEFAULT_REQUIRED


ROWS: list[tuple[str, dict[str, Any]]] = [
    ("types: [JWT]", {"types": JWT_TYPES, "refuses_nonce": False, "mapping": None}),
    ("types: [at+jwt]", {"types": AT_JWT_TYPES, "mapping": None}),
    ("types: [absent]", {"types": {""}, "refuses_nonce": True, "mapping": MODEL_MAPPING}),
    ("tolerate_headers: [x5t]", {"tolerated": {"x5t"}, "mapping": None}),
    ("audience_claim: azp", {"audience_claim": "azp", "mapping": MODEL_MAPPING}),
    ("require: [sub]", {"required": {"sub"}, "mapping": MODEL_MAPPING}),
    ("require: [sub, iat, jti, scp]", {"mapping": MODEL_MAPPING}),
    ("pii: {allowed: [email, 'a.\"b.c\"']}", {"may_hold_pii": {"email", "a.b.c"}}),
    ("claims: {}", {"mapping": MODEL_MAPPING, "refuses_nonce": True}),
]


@pytest.mark.parametrize(("settings", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_each_setting(settings: str, expected: dict[str, Any]) -> None:
    rules = compiled(settings)
    assert {name: getattr(rules, name) for name in expected} == expected


def test_other_claims_are_required_by_their_paths() -> None:
    rules = compiled("require: [sub, realm_access.roles]")
    assert [path.text for path in rules.required_paths] == ["realm_access.roles"]


def test_a_mapping() -> None:
    rules = compiled(
        f"claims: {{tenant: {{path: org, type: keys, tenants: {{acme: {TENANT}}}}}, user: oid, "
        "jti: uti, client: azp, roles: [{path: groups, prefix: 'api:', strip_prefix: true}], "
        "scopes: [{path: scp, type: spaces, optional: true}]}"
    )
    mapping = rules.mapping
    assert mapping is not None
    assert (mapping.tenant.type, mapping.tenant.table) == ("keys", {"acme": TENANT})
    assert [str(each) for each in (mapping.user, mapping.token_id, mapping.client)] == [
        "oid",
        "uti",
        "azp",
    ]
    (roles,), (scopes,) = mapping.roles, mapping.scopes
    assert (roles.prefix, roles.strip_prefix, roles.optional) == ("api:", True, False)
    assert (scopes.prefix, scopes.type, scopes.optional) == ("", "spaces", True)
