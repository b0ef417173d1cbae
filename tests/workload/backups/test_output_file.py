"""A file has its name when it is whole, and leaves nothing where it never was."""

import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from workload.backups.errors import BackupFault
from workload.backups.output_file import OutputFile


@pytest.fixture(params=["nameless", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file system has files without a name, and one whose has none."""
    if request.param == "named":
        real = os.open

        def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no such files here")
            return real(path, flags, mode)

        monkeypatch.setattr("workload.backups.output_file.os.open", refusing)
    return tmp_path


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def test_it_appears_with_the_commit_for_its_owner_alone(folder: Path) -> None:
    path = folder / "out"
    with OutputFile(path) as file:
        file.write(b"con")
        file.write(b"tent")
        assert not path.exists()
        file.commit()
        assert path.read_bytes() == b"content"
    assert _names(folder) == ["out"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1


def test_without_a_commit_there_is_nothing(folder: Path) -> None:
    with OutputFile(folder / "out") as file:
        file.write(b"half")
    assert _names(folder) == []


def test_a_file_that_is_there_is_replaced_on_request_alone_and_whole(folder: Path) -> None:
    path = folder / "out"
    path.write_bytes(b"before")
    with pytest.raises(BackupFault, match="--overwrite"):
        OutputFile(path)
    with OutputFile(path, overwrite=True) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
        file.commit()
    assert path.read_bytes() == b"after"
    assert _names(folder) == ["out"]


def test_who_made_the_file_meanwhile_keeps_it(folder: Path) -> None:
    path = folder / "out"
    with OutputFile(path) as file:
        path.write_bytes(b"theirs")
        with pytest.raises(BackupFault, match="somebody else"):
            file.commit()
    assert path.read_bytes() == b"theirs"
    assert _names(folder) == ["out"]


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("fifo", "link", "."):
        with pytest.raises(BackupFault, match="no regular file"):
            OutputFile(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("name", ["none/out", "file/out", "n" * 300])
def test_where_nothing_can_be_written_the_file_is_named(folder: Path, name: str) -> None:
    (folder / "file").touch()
    with pytest.raises(BackupFault, match=r"can't be written: "):
        OutputFile(folder / name)


def test_a_disk_that_is_full_leaves_nothing(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with (
            pytest.raises(BackupFault, match="can't be written: File too large"),
            OutputFile(folder / "out") as file,
        ):
            file.write(bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _names(folder) == []
