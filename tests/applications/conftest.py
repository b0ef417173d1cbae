"""The applications of these tests: each started once for all of them."""

from collections.abc import Iterator

import pytest

from tests.applications.servers import Applications


@pytest.fixture(scope="session")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    """Every server, started when a test first asks for it."""
    with Applications(tmp_path_factory.mktemp("applications")) as running:
        yield running
