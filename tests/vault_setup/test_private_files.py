"""Credentials in files: for this user alone, and never over another file."""

from pathlib import Path

import pytest

from sidecar.common.errors import Fault
from sidecar.common.private_file import PRIVATE_MODE
from sidecar.vault_setup.private_files import is_there, write_private


def test_a_file_is_made_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret-id"
    assert not is_there(path)
    write_private(path, "s.1", replace=False)
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("s.1", PRIVATE_MODE)
    assert is_there(path)
    assert [each.name for each in tmp_path.iterdir()] == ["secret-id"]


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "secret-id", tmp_path / "other"
    path.write_text("old")
    path.chmod(0o644)
    other.hardlink_to(path)
    with pytest.raises(Fault, match="is there already"):
        write_private(path, "new", replace=False)
    assert path.read_text() == "old"
    write_private(path, "new", replace=True)
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("new", PRIVATE_MODE)
    assert other.read_text() == "old", "another name of the file before it keeps that"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "secret-id"
    link.symlink_to(target)
    assert is_there(link)
    with pytest.raises(Fault, match="is there already"):
        write_private(link, "new", replace=False)
    write_private(link, "new", replace=True)
    assert not target.exists()
    assert not link.is_symlink()


def test_a_folder_that_is_missing_is_named_and_the_content_is_not(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "secret-id"
    with pytest.raises(Fault, match="make its folder") as caught:
        write_private(path, "s.1", replace=False)
    assert "s.1" not in str(caught.value)
    assert str(path) in str(caught.value)
