import pytest

from tests.support.postgres_server import PostgresServer
from tests.support.tenancy_world import TenancyWorld, tenancy_world


@pytest.fixture(scope="session")
def world(postgres: PostgresServer) -> TenancyWorld:
    """For tests that leave no row behind."""
    return tenancy_world(postgres)
