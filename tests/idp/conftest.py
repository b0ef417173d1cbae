"""The identity providers of these tests, each started once."""

from collections.abc import Iterator

import pytest

from tests.cli.commands import Run
from tests.idp.servers import OidcProvider

ALGORITHMS = ("ES256", "RS256", "PS256", "EdDSA")
KIDS = tuple(f"{name.lower()}-1" for name in ALGORITHMS)


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """One with a key for each algorithm, and a client for each of two tenants and for none."""
    clients = {"svc-acme": {"org": "acme"}, "svc-globex": {"org": "globex"}, "svc-none": {}}
    with OidcProvider(tmp_path_factory.mktemp("oidc-provider"), KIDS, clients) as running:
        yield running


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)
