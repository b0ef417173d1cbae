"""The rules of token issuers: what contradicts, and what hardly anybody means."""

import pytest

from sidecar.config import parse_config
from sidecar.config.rules_warnings import config_warnings
from tests.config.documents import MINIMAL, problems

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
TABLE = f"tenants: {{acme: {TENANT}}}"


def issuers(*settings: str) -> str:
    """Return a configuration of so many issuers, with their settings."""
    listed = ", ".join(
        f"{{issuer: https://i{number}.example, audiences: [a], {each}}}"
        for number, each in enumerate(settings)
    )
    head, _, rest = MINIMAL.partition("  issuers:")
    return f"{head}  issuers: [{listed}]\n{rest.partition(chr(10))[2]}"


KEYS, OWN = "keys: {source: vault_kv}", "keys: {path: iam/other}"
BAD: list[tuple[str, str, str]] = [
    (
        "two ways to a tenant",
        issuers(f"claims: {{tenant: {{fixed: {TENANT}, {TABLE}}}}}"),
        "issuers[0].claims.tenant: has tenants and fixed",
    ),
    (
        "a table and any tenant",
        issuers(f"claims: {{tenant: {{any: true, {TABLE}}}}}"),
        "issuers[0].claims.tenant: has tenants and any",
    ),
    (
        "a table in the file and one in Vault",
        issuers(f"claims: {{tenant: {{tenants_from: {{path: iam/t}}, {TABLE}}}}}"),
        "issuers[0].claims.tenant: has tenants and tenants_from",
    ),
    (
        "a table in Vault and any tenant",
        issuers("claims: {tenant: {tenants_from: {path: iam/t}, any: true}}"),
        "issuers[0].claims.tenant: has tenants_from and any",
    ),
    (
        "a claim of several issuers without a table",
        issuers(KEYS, "claims: {tenant: {path: tid}}"),
        "issuers[1].claims.tenant: needs tenants, tenants_from or fixed",
    ),
    (
        "no user and no client",
        issuers("require: [jti]"),
        "issuers[0].require: has no sub, so claims.client must say",
    ),
    (
        "an audience that no token has",
        issuers("require: [sub, aud], audience_claim: azp"),
        "issuers[0].require: has aud, which audience_claim azp says no token has",
    ),
    (
        "transit signs otherwise",
        issuers("algorithms: [RS256], keys: {source: vault_transit, name: k}"),
        "issuers[0].algorithms: must have ES256",
    ),
    (
        "a prefix that is none",
        issuers(f"claims: {{tenant: {{{TABLE}}}, roles: [{{path: r, strip_prefix: true}}]}}"),
        "issuers[0].claims.roles[0].strip_prefix: is true without a prefix",
    ),
    *(
        (f"{name} twice", issuers(f"{name}: [{each}, {each}]"), f"{name}: lists something twice")
        for name, each in (
            ("algorithms", "RS256"),
            ("types", "JWT"),
            ("tolerate_headers", "x5t"),
            ("require", "sub"),
        )
    ),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_contradicts(text: str, said: str) -> None:
    assert any(said in each for each in problems(text))


WARNED: list[tuple[str, str, list[str]]] = [
    ("one issuer", issuers(KEYS), []),
    ("one issuer's own tenants", issuers("claims: {tenant: {path: tid}}"), []),
    ("two that name any tenant", issuers(KEYS, OWN), ["name any tenant", "name any tenant"]),
    (
        "two with one set of keys",
        issuers(f"claims: {{tenant: {{{TABLE}}}}}", f"claims: {{tenant: {{{TABLE}}}}}"),
        ["are the keys of https://i0.example too"],
    ),
    (
        "two, one of them with a table",
        issuers(KEYS, f"{OWN}, claims: {{tenant: {{path: org, {TABLE}}}}}"),
        ["name any tenant"],
    ),
    (
        "two with tenants of their own",
        issuers(
            f"claims: {{tenant: {{fixed: {TENANT}}}}}",
            f"{OWN}, claims: {{tenant: {{path: org, {TABLE}}}}}",
        ),
        [],
    ),
    (
        "two, one of them with a table in Vault",
        issuers(
            f"claims: {{tenant: {{fixed: {TENANT}}}}}",
            f"{OWN}, claims: {{tenant: {{path: org, tenants_from: {{path: iam/t}}}}}}",
        ),
        [],
    ),
    ("tokens without typ", issuers("types: [JWT, absent]"), ["an ID token of this issuer may"]),
    ("tokens without jti", issuers("require: [sub]"), ["tokens without jti are accepted"]),
    ("what a type is", issuers("types: [at+jwt], require: [sub, jti]"), []),
]


@pytest.mark.parametrize(
    ("text", "said"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED]
)
def test_what_is_warned_of(text: str, said: list[str]) -> None:
    found = list(config_warnings(parse_config(text, "test")))
    assert len(found) == len(said)
    for problem, words in zip(found, said, strict=True):
        assert words in problem.message
        assert problem.path[:2] == ("tokens", "issuers")
