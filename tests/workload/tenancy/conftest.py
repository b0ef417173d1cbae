from collections.abc import Iterator

import pytest

from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.tenancy_world import TenancyWorld, tenancy_world


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def world(postgres: PostgresServer) -> TenancyWorld:
    """For tests that leave no row behind."""
    return tenancy_world(postgres)
