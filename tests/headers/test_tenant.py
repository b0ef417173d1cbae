"""The headers that only the sidecar may write, and every name that is removed for them."""

import pytest
from msgspec.structs import replace

from sidecar.headers.tenant import TRUSTED, module_headers, names_to_remove, tenant_headers
from sidecar.tokens.claims import read_claims
from tests.support.minting import TENANT, base_claims, rules

CLAIMS = read_claims(base_claims(), rules())
IDENTITY = {"x-tenant-id": TENANT, "x-user-id": "user-42", "x-token-id": "tok-1"}
ROLES: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
    ("none: the header is not sent empty", (), {}),
    ("one", ("admin",), {"x-roles": "admin"}),
    ("several, in their order", ("b", "a"), {"x-roles": "b,a"}),
]


@pytest.mark.parametrize(("roles", "more"), [r[1:] for r in ROLES], ids=[r[0] for r in ROLES])
def test_a_tokens_context(roles: tuple[str, ...], more: dict[str, str]) -> None:
    headers = tenant_headers(replace(CLAIMS, roles=roles))
    assert headers == {**IDENTITY, **more}
    assert headers.keys() <= {*TRUSTED}


def test_where_a_bundle_comes_from() -> None:
    assert module_headers(None) == {"x-module-verified": "false"}
    known = {"x-module-verified": "true", "x-module-publisher": "acme"}
    assert module_headers("acme") == known
    assert known.keys() <= {*TRUSTED}


def test_every_spelling_that_a_server_may_fold_is_removed() -> None:
    """CGI and WSGI turn x-a-b, x_a-b, x-a_b and x_a_b into one variable."""
    removed = names_to_remove(["x-a-b", "plain"])
    assert {"x-a-b", "x_a-b", "x-a_b", "x_a_b", "plain"} <= set(removed)
    assert {"x-tenant-id", "x_tenant_id", "x_roles"} <= set(removed)
    assert len(removed) == len(set(removed))
    for name in TRUSTED:
        folded = name.replace("-", "_")
        spellings = [each for each in removed if each.replace("-", "_") == folded]
        assert len(spellings) == 2 ** name.count("-")


def test_what_undoes_the_decision_is_removed_again_but_for_what_is_kept() -> None:
    """The method, the host and the path: the rest of the overrides is Envoy's to remove."""
    removed = names_to_remove([], ["x-forwarded-host"])
    assert {"x-http-method-override", "forwarded", "x-host", "x-original-url"} <= set(removed)
    assert "x-forwarded-host" not in removed
    assert "x-forwarded-host" in names_to_remove()
    assert "x-real-ip" not in removed
    assert {"x-tenant-id", "x_tenant_id"} <= set(names_to_remove([], ["x-tenant-id"]))
