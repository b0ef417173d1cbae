"""Two issuers' claims are read alike only where their digest and what is required are the same."""

import pytest

from sidecar.authz.claim_reading import NO_NONCE
from sidecar.authz.token_policy import token_policy
from sidecar.config import parse_config
from sidecar.tokens.policy import ClaimReading
from tests.config.documents import MINIMAL

ISS = "https://iam.example"
ACME, OTHER = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "0f0f0f0f-0000-4000-8000-000000000000"
CLAIMS = "claims: {user: sub, tenant: {path: org, tenants: {acme: %s, other: %s}}, %s}"


def reading(settings: str = "", of_all: str = "") -> ClaimReading:
    text = MINIMAL.replace("[https://api.example]}]", f"[https://api.example], {settings}}}]")
    tokens = parse_config(text.replace("tokens:\n", f"tokens:\n{of_all}"), "test").tokens
    recorded = token_policy(tokens, record_inputs=True).issuers[ISS].recorded
    assert recorded is not None
    return recorded


def test_nothing_is_made_where_nothing_is_recorded() -> None:
    tokens = parse_config(MINIMAL, "test").tokens
    assert token_policy(tokens).issuers[ISS].recorded is None


def test_the_security_models_says_nothing() -> None:
    assert reading() == ClaimReading()


SAME = {
    "other algorithms": "algorithms: [ES256, RS256]",
    "other types": "types: [JWT]",
    "other times": "leeway_seconds: 1, max_lifetime_seconds: 60",
    "the model's claims, written down": "require: [sub, iat, jti, nbf]",
}


@pytest.mark.parametrize("what", SAME)
def test_what_reads_no_claim_otherwise_changes_nothing(what: str) -> None:
    assert reading(SAME[what]) == reading()


OTHERS = {
    "another audience claim": "audience_claim: azp",
    "another user": CLAIMS % (ACME, OTHER, "jti: jti") + "",
    "roles elsewhere": CLAIMS % (ACME, OTHER, "roles: [{path: groups}]"),
    "roles by a prefix": CLAIMS % (ACME, OTHER, "roles: [{path: groups, prefix: app-}]"),
    "roles as one text": CLAIMS % (ACME, OTHER, "roles: [{path: groups, type: spaces}]"),
    "scopes elsewhere": CLAIMS % (ACME, OTHER, "scopes: [{path: groups}]"),
    "another tenant claim": CLAIMS.replace("path: org", "path: team") % (ACME, OTHER, "jti: jti"),
    "a tenant by key": CLAIMS.replace("path: org", "path: org, type: keys")
    % (ACME, OTHER, "jti: jti"),
    "one tenant for all": f"claims: {{user: sub, tenant: {{fixed: {ACME}}}}}",
}


def test_what_reads_claims_otherwise_has_another_digest() -> None:
    digests = [reading(settings).of_tenant(ACME) for settings in OTHERS.values()]
    assert len({*digests, reading().of_tenant(ACME)}) == len(OTHERS) + 1


def test_a_table_counts_by_the_words_of_one_tenant() -> None:
    before = reading(CLAIMS % (ACME, OTHER, "jti: jti"))
    more = reading(
        (CLAIMS % (ACME, OTHER, "jti: jti")).replace("{acme:", f"{{third: {ACME[:-1]}2, acme:")
    )
    moved = reading((CLAIMS % (ACME, OTHER, "jti: jti")).replace("acme:", "acme-2:"))
    assert before.of_tenant(ACME) == more.of_tenant(ACME)
    assert before.of_tenant(OTHER) == moved.of_tenant(OTHER)
    assert before.of_tenant(ACME) != moved.of_tenant(ACME)


REQUIRED = {
    "one less": ("require: [sub, iat, jti]", ("iat", "jti", "sub")),
    "one more": ("require: [sub, iat, jti, nbf, acr]", ("iat", "jti", "nbf", "sub", "acr")),
    "no type, so no nonce": ("types: [absent]", ("iat", "jti", "nbf", "sub", NO_NONCE)),
}


@pytest.mark.parametrize("what", REQUIRED)
def test_what_had_to_be_there_is_said(what: str) -> None:
    settings, required = REQUIRED[what]
    assert reading(settings).required == required


def test_where_personal_data_is_not_looked_for_is_said() -> None:
    assert reading("", "  pii: {by_name: off, by_value: off}\n").unsought == ("name", "value")
    assert reading("pii: {allowed: [email, address.phone]}").unsought == ("address.phone", "email")
    assert reading("", "  pii: {by_name: warn, by_value: deny}\n").unsought == ()
