"""Where audit lines go: whose file, how it is opened and rotated, and a write that is cut short."""

import os
import stat
from pathlib import Path

import pytest

from sidecar.observability.audit import AuditFault, FileSink
from sidecar.observability.audit.sinks import PartialWriteError, write_all
from tests.observability.audit.test_faults import file_size_limit

KINDS = {
    "link": "",
    "fifo": "",
    "folder": "",
    "nowhere": "No such file",
    "second name": "second name",
    "another's": "belongs to user 65534",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_is_no_file_of_ours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "second name":
        path.touch()
        (tmp_path / "elsewhere").hardlink_to(path)
    elif kind == "another's":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        path.touch()
        os.chown(path, 65_534, 65_534)
    else:
        path = tmp_path / "no" / "audit"
    with pytest.raises(AuditFault, match=f"can't be opened: .*{KINDS[kind]}"):
        FileSink(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o700, 0o4600, 0o604])
def test_a_file_that_is_there_is_closed_to_others_with_those_rotated_away(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "audit.jsonl"
    ours = [path, *(tmp_path / f"audit.jsonl.{number}" for number in (1, 2, 17))]
    others = [tmp_path / "audit.jsonl.gz", tmp_path / "other.1", tmp_path / "audit_jsonl.1"]
    for each in (*ours, *others):
        each.write_text("a line\n")
        each.chmod(mode)
    (tmp_path / "audit.jsonl.3").symlink_to(others[0])
    FileSink(path).close()
    assert {stat.S_IMODE(each.stat().st_mode) for each in ours} == {0o600}
    assert {stat.S_IMODE(each.stat().st_mode) for each in others} == {mode}
    assert path.read_text() == "a line\n"


def test_a_file_that_logrotate_made_is_closed_to_others_when_it_is_opened_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    path.rename(tmp_path / "audit.jsonl.1")
    path.touch(0o644)
    sink.reopen()
    sink.write(b"a line\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink.close()


@pytest.mark.parametrize(("mode", "told"), [(0o777, 1), (0o1777, 0), (0o700, 0)])
def test_a_folder_where_anyone_may_replace_the_file_is_warned_of(
    tmp_path: Path, mode: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(mode)
    FileSink(tmp_path / "audit.jsonl").close()
    assert len(caplog.records) == told


def test_a_file_that_grows_too_large_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, max_bytes=1000, keep=3)
    for number in range(60):
        sink.write(f"{number:099}\n".encode())
    sink.close()
    kept = sorted(each.name for each in tmp_path.iterdir())
    assert kept == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in tmp_path.iterdir())
    newest = path.read_text().splitlines()
    assert int(newest[-1]) == 59
    assert int((tmp_path / "audit.jsonl.1").read_text().splitlines()[-1]) == int(newest[0]) - 1


def test_one_write_that_is_larger_than_the_limit_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, max_bytes=10, keep=2)
    sink.write(b"x" * 20 + b"\n")
    sink.write(b"y\n")
    sink.close()
    assert path.read_bytes() == b"y\n"
    assert (tmp_path / "audit.jsonl.1").read_bytes() == b"x" * 20 + b"\n"


def test_a_write_that_is_cut_short_says_how_far_it_went(tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with file_size_limit(100), pytest.raises(PartialWriteError) as cut:
        write_all(descriptor, b"x" * 150)
    os.close(descriptor)
    assert (cut.value.taken, path.stat().st_size) == (100, 100)


def test_an_incomplete_line_is_completed_in_its_file_and_not_rotated_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, max_bytes=50, keep=2)
    sink.write(b"a" * 30 + b"\n")
    with file_size_limit(40), pytest.raises(PartialWriteError) as cut:
        sink.write(b"b" * 15 + b"\n")
    assert cut.value.taken == 9
    sink.write(b"b" * 30 + b"\n")
    assert not (tmp_path / "audit.jsonl.1").exists(), "its beginning is in this file"
    sink.write(b"c\n")
    assert path.read_bytes() == b"c\n"
    sink.close()
    sink.close()
