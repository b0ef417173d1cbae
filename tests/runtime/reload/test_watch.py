"""When a file counts as changed: by a table of what two looks in a row see."""

import asyncio
from pathlib import Path

import pytest

from sidecar.runtime.reload.watch import NO_FILE, FileChange, FileMark, mark_of, watch_file
from tests.support.waiting import until

A, B, C = ((1, number, 10, 100) for number in (1, 2, 3))
LOOKS: list[tuple[str, list[FileMark], list[bool]]] = [
    ("it was read before the first look", [A, A, A], [False, True, False]),
    ("a new file at rest", [A, A, B, B, B], [False, True, False, True, False]),
    ("one that is being written", [A, A, B, C, C], [False, True, False, False, True]),
    ("absent for a moment", [A, A, NO_FILE, NO_FILE, A], [False, True, False, False, False]),
    ("absent, then another", [A, A, NO_FILE, B, B], [False, True, False, False, True]),
    ("back to the first", [A, A, B, A, A], [False, True, False, False, False]),
]


@pytest.mark.parametrize(("seen", "acts"), [row[1:] for row in LOOKS], ids=[r[0] for r in LOOKS])
def test_looks(seen: list[FileMark], acts: list[bool]) -> None:
    change = FileChange()
    assert [change.has_settled(mark) for mark in seen] == acts


def test_the_mark_is_that_of_the_file_behind_the_links(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    data, path = tmp_path / "..data", tmp_path / "file"
    data.symlink_to("one")
    path.symlink_to("..data/file")
    first = mark_of(path)
    data.unlink()
    assert mark_of(path) == NO_FILE
    data.symlink_to("two")
    assert mark_of(path) not in {first, NO_FILE}


async def test_each_change_is_one_reload(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    seen: list[str] = []

    async def reload() -> None:
        seen.append(path.read_text())

    task = asyncio.create_task(watch_file(path, 0.01, reload))
    await until(lambda: seen == ["a"], task=task)
    path.write_text("bb")
    await until(lambda: seen == ["a", "bb"], task=task)
    task.cancel()
