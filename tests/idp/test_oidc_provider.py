"""Tokens of oidc-provider, through a real Envoy and a real sidecar that finds its keys itself."""

import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Run
from tests.idp.conftest import ALGORITHMS, KIDS
from tests.idp.edge import IssuerEdge
from tests.idp.servers import AUDIENCE, OidcProvider
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
TENANTS = {
    "acme": "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11",
    "globex": "0b5c7f6e-1d2a-4b3c-8d4e-5f6a7b8c9d0e",
}


def entry(provider: OidcProvider) -> dict[str, Any]:
    return {
        "issuer": provider.issuer,
        "audiences": [AUDIENCE],
        "keys": {"source": "oidc", "ca_file": provider.ca_file, "timeout_seconds": 30},
        "algorithms": list(ALGORITHMS),
        "types": ["at+jwt"],
        "require": ["sub", "iat", "jti"],
        "claims": {"tenant": {"path": "org", "tenants": TENANTS}, "client": "client_id"},
    }


@pytest.fixture(scope="module")
def edge(
    oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IssuerEdge]:
    folder = tmp_path_factory.mktemp("edge")
    with IssuerEdge([entry(oidc_provider)], folder, scopes=["api:read"]) as running:
        yield running


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("tenant", TENANTS)
def test_a_login_by_client_credentials_is_let_in_as_its_tenant(
    oidc_provider: OidcProvider, edge: IssuerEdge, algorithm: str, tenant: str
) -> None:
    reply = edge.ask(oidc_provider.token(f"svc-{tenant}", algorithm))
    assert reply.status == 200, reply.body
    seen = reply.told["seen"]
    assert seen["HTTP_X_TENANT_ID"] == TENANTS[tenant]
    assert seen["HTTP_X_USER_ID"] == f"svc-{tenant}"
    assert seen["HTTP_X_TOKEN_ID"]


def test_a_client_of_no_tenant_is_refused(oidc_provider: OidcProvider, edge: IssuerEdge) -> None:
    reply = edge.ask(oidc_provider.token("svc-none", "ES256"))
    assert (reply.status, reply.reason) == (401, "claim_missing")


def test_what_the_command_proposes_has_its_token_accepted(
    oidc_provider: OidcProvider, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(oidc_provider.token("svc-acme", "EdDSA"))
    code, out, err = run(
        "idp", "inspect", oidc_provider.issuer, "--ca-file", oidc_provider.ca_file, "--token", path
    )
    assert (code, err) == (0, "")
    assert "with this entry the token is accepted" in out
    assert "algorithms: [EdDSA]" in out


def test_a_rotation_of_its_keys_under_traffic_refuses_no_token(
    oidc_provider: OidcProvider, edge: IssuerEdge
) -> None:
    """New keys sign the moment that they are published: nobody waits for the sidecar to know.

    First they are published beside the old ones, then others in the place of all.
    """
    stopped = threading.Event()
    refused: list[str] = []
    counted: list[int] = []

    def ask_on(token: str) -> None:
        while not stopped.is_set():
            reply = edge.ask(token)
            counted.append(reply.status)
            if reply.status != HTTPStatus.OK:
                refused.append(f"{reply.status} {reply.reason}")

    tokens = [oidc_provider.token("svc-acme", name) for name in ALGORITHMS]
    threads = [threading.Thread(target=ask_on, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    second, third = ([kid.replace("-1", f"-{number}") for kid in KIDS] for number in (2, 3))
    try:
        for kids in ([*second, *KIDS], third):
            oidc_provider.publish(kids)
            for name in ALGORITHMS:
                fresh = oidc_provider.token("svc-acme", name)
                wait_until(partial(is_let_in, edge, fresh), 30)
        before = len(counted)
        wait_until(lambda: len(counted) > before + 8)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        oidc_provider.publish(KIDS)
        edge.refresh_keys()
    assert refused == []


def is_let_in(edge: IssuerEdge, token: str) -> bool:
    return edge.ask(token).status == HTTPStatus.OK
