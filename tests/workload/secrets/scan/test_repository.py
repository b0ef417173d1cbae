"""A folder and its Git: what is there, and what once was."""

import subprocess
from pathlib import Path

import pytest

from tests.workload.secrets.scan import samples
from workload.secrets.scan.run import scan
from workload.secrets.scan.texts import MAX_FILE_BYTES
from workload.settings import SettingsFault

LEAK = f'key = "{samples.AWS}"\n'


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def commit(folder: Path, **files: str | None) -> None:
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")


def places(folder: Path, *, history: bool = False) -> list[tuple[str, str]]:
    found = scan([folder], history=history, entropy=False).findings
    return [(each.where.partition(" ")[0], each.path) for each in found]


def test_files_that_git_has_or_would_take(repository: Path) -> None:
    commit(repository, tracked=LEAK)
    (repository / ".gitignore").write_text("ignored\n")
    for name in ("ignored", "new"):
        (repository / name).write_text(LEAK)
    (repository / "link").symlink_to("ignored")
    assert sorted(path for _, path in places(repository)) == ["new", "tracked"]


def test_a_folder_without_git(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below/a").write_text(LEAK)
    (tmp_path / "link").symlink_to("below")
    assert places(tmp_path) == [("below/a", "below/a")]


def test_what_was_removed_is_in_the_history(repository: Path) -> None:
    commit(repository, gone=LEAK, stays="x = 1\n")
    commit(repository, gone=None)
    assert places(repository) == []
    assert places(repository, history=True) == [("commit", "gone")]


def test_a_branch_and_what_a_reset_left_behind(repository: Path) -> None:
    commit(repository, first="x = 1\n")
    commit(repository, second=LEAK)
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    assert places(repository, history=True) == [("commit", "second")]


def test_what_is_there_is_told_once(repository: Path) -> None:
    commit(repository, here=LEAK)
    commit(repository, here=LEAK, other="y = 2\n")
    assert places(repository, history=True) == [("here", "here")]


def test_a_large_file_is_named_and_not_read(repository: Path) -> None:
    commit(repository, large="x" * (MAX_FILE_BYTES + 1))
    commit(repository, large=None, small=LEAK)
    result = scan([repository], history=True, entropy=False)
    assert [each.path.partition(" ")[0] for each in result.unread] == ["large"]
    assert [each.path for each in result.findings] == ["small"], "the answers stay in step"


def test_nothing_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    commit(repository, a=LEAK)
    trace = tmp_path / "ran"
    for name in ("core.fsmonitor", "core.pager", "diff.external", "core.sshCommand"):
        git(repository, "config", name, f"touch {trace}")
    places(repository, history=True)
    assert not trace.exists()


def test_history_without_git_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(SettingsFault, match="git rev-list in "):
        places(tmp_path, history=True)
