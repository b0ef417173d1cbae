"""Tokens of a real Keycloak; opt-in (``make test-idps``), for who has Java."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import Run
from tests.idp.edge import IssuerEdge
from tests.idp.servers import AUDIENCE, Keycloak

pytestmark = pytest.mark.real
TENANTS = {
    "acme": "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11",
    "globex": "0b5c7f6e-1d2a-4b3c-8d4e-5f6a7b8c9d0e",
}


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    with Keycloak(tmp_path_factory.mktemp("keycloak")) as running:
        yield running


@pytest.fixture(scope="module")
def edge(keycloak: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerEdge]:
    entry: dict[str, Any] = {
        "issuer": keycloak.issuer,
        "audiences": [AUDIENCE],
        "keys": {"source": "oidc", "timeout_seconds": 30},
        "algorithms": ["RS256"],
        "types": ["JWT"],
        "require": ["sub", "iat", "jti"],
        "claims": {
            "tenant": {"path": "org", "tenants": TENANTS},
            "client": "azp",
            "roles": [{"path": "realm_access.roles", "optional": True}],
        },
    }
    with IssuerEdge([entry], tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.mark.parametrize(("tenant", "edits"), [("acme", True), ("globex", False)])
def test_a_service_account_is_let_in_as_its_tenant(
    keycloak: Keycloak, edge: IssuerEdge, tenant: str, edits: bool
) -> None:
    reply = edge.ask(keycloak.token(f"svc-{tenant}"))
    assert reply.status == 200, reply.body
    seen = reply.told["seen"]
    assert seen["HTTP_X_TENANT_ID"] == TENANTS[tenant]
    assert ("editor" in seen["HTTP_X_ROLES"].split(",")) is edits


def test_a_client_of_no_tenant_is_refused(keycloak: Keycloak, edge: IssuerEdge) -> None:
    reply = edge.ask(keycloak.token("svc-none"))
    assert (reply.status, reply.reason) == (401, "claim_missing")


def test_its_key_for_encryption_is_named_and_not_used(edge: IssuerEdge) -> None:
    (source,) = edge.keys()["sources"]
    assert [each["algorithm"] for each in source["keys"]] == ["RS256"]
    assert [each["reason"] for each in source["skipped"]] == ["other_use"]


def test_the_command_says_how(keycloak: Keycloak, run: Run) -> None:
    token = keycloak.token().encode()
    code, out, _ = run("idp", "inspect", keycloak.issuer, "--token", "-", stdin=token)
    assert code == 0, out
    assert "path: realm_access.roles" in out
