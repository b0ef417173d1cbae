"""Whatever a test of the spool has opened is closed after it."""

from collections.abc import Iterator

import pytest

from tests.observability.audit.spool.spooled import OPENED


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
