"""One development server for the tests of single steps, a client of it, and a short folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from tests.vault_setup.shapes import operator, short_folder


@pytest.fixture(scope="session")
def shared() -> Iterator[OpenBao]:
    """Each test has mounts and names of its own in it."""
    server = OpenBao()
    yield server
    server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
async def vault(shared: OpenBao, folder: Path) -> AsyncIterator[VaultClient]:
    """The operator's client."""
    settings = model.Vault(address=shared.address, auth=operator(shared, folder))
    client = VaultClient(settings, clock=monotonic_seconds)
    yield client
    await client.close()
