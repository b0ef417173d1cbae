"""How far each sink has got: sealed, replaced whole, and never believed when altered."""

from pathlib import Path

import pytest

from sidecar.observability.audit.spool.cursors import Cursor, read_cursors, write_cursors
from sidecar.observability.audit.spool.keys import SpoolKeys
from sidecar.observability.audit.spool.records import DamagedError
from tests.observability.audit.spool.spooled import KeyShelf, flip

CURSORS = {"one": Cursor(next=5, batch=9), "two": Cursor(next=0, batch=0)}


def test_what_is_written_is_read_and_nobody_else_may(tmp_path: Path) -> None:
    shelf = KeyShelf()
    write_cursors(tmp_path, shelf.new(), CURSORS)
    assert read_cursors(tmp_path, SpoolKeys(shelf)) == CURSORS
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"one" not in file.read_bytes()


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert read_cursors(tmp_path, SpoolKeys(KeyShelf())) == {}


def test_no_changed_byte_is_believed(tmp_path: Path) -> None:
    shelf = KeyShelf()
    write_cursors(tmp_path, shelf.new(), CURSORS)
    path = tmp_path / "cursors"
    for at in range(path.stat().st_size):
        flip(path, at)
        with pytest.raises((DamagedError, KeyError)):  # a KeyError: the shelf has no such key
            read_cursors(tmp_path, SpoolKeys(shelf))
        flip(path, at)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedError):
        read_cursors(tmp_path, SpoolKeys(shelf))


def test_a_key_that_can_not_be_had_is_not_damage(tmp_path: Path) -> None:
    shelf = KeyShelf()
    write_cursors(tmp_path, shelf.new(), CURSORS)
    shelf.away = True
    with pytest.raises(OSError, match="does not answer"):
        read_cursors(tmp_path, SpoolKeys(shelf))
