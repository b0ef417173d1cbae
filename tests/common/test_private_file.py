"""A file that others could read, replace or have put there is not written to."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.common.private_file import anyone_may_replace, close_to_others, open_to_append


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [None, 0o600, 0o644, 0o666])
def test_it_is_ours_alone_from_then_on(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "audit"
    if mode is not None:
        path.write_text("old\n")
        path.chmod(mode)
    descriptor = open_to_append(path)
    os.write(descriptor, b"new\n")
    os.close(descriptor)
    assert mode_of(path) == 0o600
    assert path.read_text() == ("new\n" if mode is None else "old\nnew\n")


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def link_to_a_file(path: Path) -> None:
    path.with_name("elsewhere").write_text("")
    path.symlink_to(path.with_name("elsewhere"))


def hard_link(path: Path) -> None:
    path.with_name("elsewhere").write_text("")
    path.hardlink_to(path.with_name("elsewhere"))


def others(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's file")
    path.write_text("")
    os.chown(path, 65_534, 65_534)


@pytest.mark.parametrize("put", [link, link_to_a_file, hard_link, os.mkfifo, Path.mkdir, others])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, put: Callable[[Path], object]) -> None:
    path = tmp_path / "audit"
    put(path)
    with pytest.raises(OSError, match=r".+"):
        open_to_append(path)
    elsewhere = tmp_path / "elsewhere"
    assert not elsewhere.exists() or elsewhere.read_text() == ""


def test_rotated_files_are_closed_to_others_and_nothing_else(tmp_path: Path) -> None:
    names = ["audit.1", "audit.22", "audit.old", "other.1", "audit.1.gz"]
    for name in names:
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    close_to_others(tmp_path, "audit")
    assert [mode_of(tmp_path / name) for name in names] == [0o600, 0o600, 0o644, 0o644, 0o644]


@pytest.mark.parametrize(
    ("mode", "may"), [(0o755, False), (0o775, False), (0o777, True), (0o1777, False)]
)
def test_who_may_replace_a_file(tmp_path: Path, mode: int, may: bool) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    folder.chmod(mode)
    assert anyone_may_replace(folder) is may
    assert not anyone_may_replace(tmp_path / "absent")
