"""What is minted for an issuer is read back by its mapping, whatever the mapping."""

from typing import Any

import pytest

from sidecar.authz.token_policy import issuer_policy
from sidecar.cli.issuer_shape import shaped, without_stored_tables
from sidecar.common.errors import Denied
from sidecar.config import parse_config
from sidecar.config.model import TokenIssuerSettings, Tokens
from sidecar.tokens.claims import check_claims, read_claims
from tests.config.documents import MINIMAL
from tests.support.issuer_shapes import SHAPES, Shape
from tests.support.minting import NOW, TENANT

MODEL = {
    "iss": "https://i.example", "sub": "u-1", "tenantId": TENANT, "jti": "t-1",
    "exp": NOW + 300, "iat": NOW, "nbf": NOW, "roles": ["editor"], "scope": "read",
}  # fmt: skip


def configured(settings: str) -> tuple[TokenIssuerSettings, Tokens]:
    head, _, rest = MINIMAL.partition("  issuers:")
    listed = f"  issuers: [{{issuer: 'https://i.example', {settings}}}]\n"
    tokens = parse_config(head + listed + rest.partition("\n")[2], "test").tokens
    return tokens.issuers[0], tokens


def claims_for(settings: str, **changes: Any) -> tuple[str | None, dict[str, Any]]:
    entry, tokens = configured(settings)
    return shaped({**MODEL, "aud": [entry.audiences[0]], **changes}, entry, tokens)


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_what_is_shaped_is_read_back(shape: Shape) -> None:
    entry, tokens = configured(shape.settings)
    _, made = claims_for(shape.settings)
    rules = issuer_policy(entry, tokens)
    read = read_claims(made, rules)
    check_claims(read, rules, NOW)
    assert (read.subject, read.tenant_id, read.token_id) in {
        ("u-1", TENANT, "t-1"),
        ("u-1", TENANT, ""),
    }
    assert entry.claims is not None
    assert read.roles == (("editor",) if entry.claims.roles else ())
    assert read.scopes == (("read",) if entry.claims.scopes else ())


def test_an_issuer_without_settings_of_its_own_keeps_the_models_claims() -> None:
    typ, made = claims_for("audiences: [a]")
    assert (typ, made) == ("at+jwt", {**MODEL, "aud": ["a"]})


@pytest.mark.parametrize(
    ("types", "typ"),
    [("[JWT]", "JWT"), ("[absent]", None), ("[absent, JWT]", "JWT"), ("[JWT, at+jwt]", "at+jwt")],
)
def test_the_header_has_a_typ_that_is_accepted(types: str, typ: str | None) -> None:
    assert claims_for(f"audiences: [a], types: {types}")[0] == typ


STORED = "audiences: [a], claims: {tenant: {path: org, tenants_from: {path: iam/t}}}"


def test_without_a_server_a_tenant_s_id_is_its_word_where_a_table_is_in_vault() -> None:
    entry, tokens = configured(STORED)
    _, made = claims_for(STORED)
    assert made["org"] == TENANT
    with pytest.raises(Denied, match="the table in Vault, secret/iam/t, which was not read"):
        read_claims(made, issuer_policy(entry, tokens))
    head, _, rest = MINIMAL.partition("  issuers:")
    others = "{issuer: 'https://j.example', audiences: [a]}"
    listed = f"  issuers: [{{issuer: 'https://i.example', {STORED}}}, {others}]\n"
    config = parse_config(head + listed + rest.partition("\n")[2], "test")
    mended = without_stored_tables(config).tokens
    assert read_claims(made, issuer_policy(mended.issuers[0], mended)).tenant_id == TENANT
    assert mended.issuers[1] == config.tokens.issuers[1]


def test_a_tenant_without_a_word_is_refused_as_it_must_be() -> None:
    settings = f"audiences: [a], claims: {{tenant: {{path: org, tenants: {{acme: {TENANT}}}}}}}"
    entry, tokens = configured(settings)
    _, made = claims_for(settings, tenantId=TENANT.replace("7", "8"))
    with pytest.raises(Denied, match="not in the issuer's table"):
        read_claims(made, issuer_policy(entry, tokens))
