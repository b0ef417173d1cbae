"""What an issuer's entry must say, read from tokens as real issuers make them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.idp_proposal import NOBODY, EntrySetting, look, propose, propose_by_keys, quoted
from tests.support.minting import NOW
from tests.support.shaped_issuer import shape_named

API = "https://api.example"


def settings_of(name: str, **changes: Any) -> dict[str, EntrySetting]:
    shape = shape_named(name)
    payload = {**shape.payload, **changes}
    payload = {claim: value for claim, value in payload.items() if value is not None}
    proposal = propose(shape.head, payload, shape.issuer)
    return {each.name: each for each in (proposal.audiences, *proposal.settings)}


GUID = "0b54aa25-5d26-4d5e-8f2b-5a0e0d4f7a11"
EXPECTED: dict[str, dict[str, Any]] = {
    "Keycloak, a user": {
        "audiences": ["account"], "algorithms": ["RS256"], "types": ["JWT"],
        "require": ["sub", "iat", "jti"], "claims.client": "azp",
        "claims.tenant": {"path": "organization", "type": "keys", "tenants": {"acme": NOBODY}},
        "claims.roles": [{"path": "realm_access.roles", "optional": True}],
        "pii": {"allowed": ["email"]},
    },
    "Keycloak, ES256": {
        "audiences": ["account", "x"], "types": ["at+jwt"],
        "require": ["sub", "iat", "jti"], "claims.client": "client_id",
        "claims.tenant": {"path": "organization.*.id", "tenants": {"42a1": NOBODY}},
    },
    "Auth0, the default": {
        "audiences": [API, "https://acme.example/userinfo"], "algorithms": ["RS256"],
        "types": ["JWT"], "max_lifetime_seconds": 86_400, "require": ["sub", "iat"],
        "claims.client": "azp",
        "claims.tenant": {"path": "org_id", "tenants": {"org_9ybsU1dN2dKfDkBi": NOBODY}},
        "claims.roles": [{"path": "permissions", "optional": True}],
    },
    "Cognito": {
        "audiences": ["c1"], "audience_claim": "client_id", "algorithms": ["RS256"],
        "types": ["absent"], "max_lifetime_seconds": 3600, "require": ["sub", "iat", "jti"],
        "claims.client": "client_id", "claims.tenant": {"fixed": NOBODY},
        "claims.roles": [{"path": '"cognito:groups"', "optional": True}],
    },
    "Okta": {
        "audiences": ["api://default"], "algorithms": ["RS256"], "types": ["absent"],
        "max_lifetime_seconds": 3600, "require": ["sub", "iat", "jti"], "claims.client": "cid",
        "claims.tenant": {"path": "tenant", "tenants": {"acme": NOBODY}},
        "claims.roles": [{"path": "groups", "optional": True, "prefix": "api-"}],
        "claims.scopes": [{"path": "scp", "optional": True}],
    },
    "PingOne": {
        "audiences": [API], "algorithms": ["RS256"], "types": ["absent"],
        "max_lifetime_seconds": 3600, "require": ["iat"], "claims.client": "client_id",
        "claims.tenant": {"path": "org", "tenants": {GUID: NOBODY}},
        "claims.roles": [{"path": '"p1.permissions"', "optional": True}],
    },
    "Zitadel": {
        "audiences": ["2165@p"], "algorithms": ["RS256"], "types": ["JWT"],
        "max_lifetime_seconds": 43_200, "claims.client": "client_id",
        "claims.tenant": {
            "path": '"urn:zitadel:iam:user:resourceowner:id"', "tenants": {"165460784": NOBODY},
        },
        "claims.roles": [
            {"path": '"urn:zitadel:iam:org:project:roles"', "type": "keys", "optional": True}
        ],
    },
    "Kubernetes": {
        "audiences": [API], "algorithms": ["RS256"], "types": ["absent"],
        "max_lifetime_seconds": 3600,
        "claims.tenant": {"path": '"kubernetes.io".namespace', "tenants": {"team-a": NOBODY}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_entry_of_an_issuer_says(name: str) -> None:
    found = settings_of(name)
    assert {each.name: each.value for each in found.values()} == EXPECTED[name]


def test_a_token_of_the_security_model_needs_no_setting_but_its_type() -> None:
    claims = {
        "iss": "i", "sub": "s", "aud": "a", "exp": NOW + 600, "nbf": NOW, "iat": NOW, "jti": "j",
        "tenantId": GUID, "roles": ["editor"], "scope": "read write",
    }  # fmt: skip
    proposal = propose({"alg": "ES256", "typ": "JWT", "kid": "k"}, claims, "i")
    assert proposal.settings == (EntrySetting("types", ["JWT"]),)


CHOICES = [
    ("Auth0, the default", {}, "audiences", "keep those that mean this platform"),
    ("Auth0, the default", {}, "max_lifetime_seconds", "a stolen token lives as long"),
    ("Auth0, the default", {}, "require", "without jti"),
    ("Keycloak, a user", {}, "claims.tenant", "write your tenant id"),
    ("Cognito", {}, "claims.tenant", "no claim looks like a tenant"),
    ("Cognito", {}, "audience_claim", "better have the issuer send aud"),
    ("Okta", {}, "types", "an ID token of this issuer has no typ either"),
    ("Okta", {"org": "x", "workspace_id": "y"}, "claims.tenant", "also be at tenant, workspace_id"),
    ("PingOne", {}, "require", "a token without sub is its client's"),
    ("Entra, v1", {}, "pii", "better have the issuer leave them out"),
    ("Okta", {"groups": ["A group, of people"]}, "claims.roles", "only names that begin with"),
    ("Keycloak, a user", {"groups": ["a"]}, "claims.roles", "roles could also be at groups"),
]


@pytest.mark.parametrize(("name", "changes", "setting", "said"), CHOICES)
def test_what_a_person_must_decide_is_asked(
    name: str, changes: dict[str, Any], setting: str, said: str
) -> None:
    assert said in settings_of(name, **changes)[setting].choose


TENANTS: list[tuple[str, Any, dict[str, Any] | None]] = [
    ("organization", ["acme"], {"path": "organization", "type": "list"}),
    ("organization", {"acme": {}}, {"path": "organization", "type": "keys"}),
    ("https://acme.example/tenant", "acme", {"path": '"https://acme.example/tenant"'}),
    ("custom:tenant", "acme", {"path": '"custom:tenant"'}),
    ("tenant_ids", ["acme"], {"path": "tenant_ids", "type": "list"}),
    ("organization", ["acme", "globex"], None),
    ("tenant", 5, None),
    ("tenant", "", None),
    ('tenant"quoted', "acme", None),
    ("tenant\nline", "acme", None),
    ("organised_by", "acme", None),
]


@pytest.mark.parametrize(("claim", "value", "place"), TENANTS)
def test_where_a_tenant_is(claim: str, value: Any, place: dict[str, Any] | None) -> None:
    found = settings_of("oidc-provider", org=None, **{claim: value})["claims.tenant"].value
    assert found == ({"fixed": NOBODY} if place is None else {**place, "tenants": {"acme": NOBODY}})


def test_a_lifetime_is_of_whole_minutes() -> None:
    """One token's 3597 seconds are another's 3599."""
    assert settings_of("Hydra", exp=int(NOW) + 3597)["max_lifetime_seconds"].value == 3600
    assert settings_of("Hydra", exp=int(NOW) + 3601)["max_lifetime_seconds"].value == 3660


@pytest.mark.parametrize("exp", [10**400, float("inf"), -(10**400), True, "soon", None])
def test_an_end_that_is_no_time_has_no_lifetime(exp: object) -> None:
    assert "max_lifetime_seconds" not in settings_of("Hydra", exp=exp)


def test_without_a_token_the_keys_say_which_algorithms_there_are() -> None:
    proposal = propose_by_keys("https://i", ["RS256", "RSA-OAEP", "RS256", "ES256"])
    assert [each.value for each in proposal.settings] == [["RS256", "ES256"]]
    assert propose_by_keys("https://i", ["ES256"]).settings == ()
    assert propose_by_keys("https://i", []).settings == ()


def test_paths_are_written_as_the_settings_have_them() -> None:
    assert quoted(("realm_access", "roles")) == "realm_access.roles"
    assert quoted(("kubernetes.io", "*", "a b")) == '"kubernetes.io".*."a b"'


def test_what_stands_at_a_path() -> None:
    payload = {"a": {"b": {"c": 1}}, "two": {"x": 1, "y": 2}}
    assert look(payload, ("a", "*", "c")) == 1
    assert look(payload, ("two", "*")) is None
    assert look(payload, ("a", "x", "c")) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KNOWN = "iss sub aud exp iat nbf jti tid org organization scope scp roles email groups typ alg"
NAMES = st.sampled_from(KNOWN.split())


@given(
    st.dictionaries(NAMES | st.text(max_size=8), JSON),
    st.dictionaries(NAMES | st.text(max_size=8), JSON),
)
def test_any_token_has_an_entry(header: dict[str, Any], payload: dict[str, Any]) -> None:
    proposal = propose(header, payload, "https://i")
    json.dumps([each.value for each in proposal.settings])
