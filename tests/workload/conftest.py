"""What the tests of several parts for applications start once a run."""

from collections.abc import Iterator

import pytest

from tests.support.postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run; each test has a database, a schema or roles of its own."""
    with postgres_server() as server:
        yield server
