"""The files of the folder: private, locked by one process, and read only where they are whole."""

import os
from pathlib import Path

import pytest

from sidecar.observability.audit.spool.segments import (
    FolderLock,
    Segment,
    create_segment,
    find_segments,
    make_folder,
    segment_path,
    set_aside,
    write_whole,
)
from tests.observability.audit.spool.spooled import KeyShelf, fill, flip, open_store, segments


def test_a_folder_is_made_private_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    make_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    make_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(OSError, match="it is a link to one"):
        make_folder(link)


def test_the_umask_of_the_sidecar_leaves_the_folder_usable(tmp_path: Path) -> None:
    before = os.umask(0o117)
    try:
        make_folder(tmp_path / "spool")
    finally:
        os.umask(before)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_one_has_the_lock_until_it_lets_go(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert [first.acquire(), first.acquire(), second.acquire()] == [True, True, False]
    assert [first.is_held, second.is_held] == [True, False]
    first.release()
    assert [first.is_held, second.acquire()] == [False, True]
    second.release()


def test_a_lock_on_a_folder_that_was_removed_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    lock = FolderLock(folder)
    held = [lock.acquire() and lock.is_held]
    folder.rename(tmp_path / "elsewhere")
    held.append(lock.is_held)
    folder.mkdir()
    held.append(lock.is_held)
    held.append(lock.acquire() and lock.is_held)
    lock.release()
    assert held == [True, False, False, True]


def test_a_segment_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = segment_path(tmp_path, 7)
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError):
        create_segment(path, b"after")
    assert path.read_bytes() == b"before"


def test_a_disk_that_takes_a_part_says_so() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="space"):
        write_whole(full.fileno(), b"x")


def test_segments_end_where_the_next_begins_and_the_last_with_its_records(tmp_path: Path) -> None:
    shelf = KeyShelf()
    for _ in range(2):
        store = open_store(tmp_path, shelf)
        fill(store, 3)
        store.close()
    found, unreadable = find_segments(tmp_path)
    assert [(each.first, each.end) for each in found] == [(0, 30), (30, 60)]
    assert unreadable == []


def test_a_record_that_was_being_written_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 2)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    for cut in range(1, 200):
        path.write_bytes(whole[:-cut])
        ((found,), _) = find_segments(tmp_path)
        assert found.end == 10, cut


def test_a_file_under_another_name_is_none(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 1)
    (path,) = segments(tmp_path)
    path.rename(segment_path(tmp_path, 1))
    (tmp_path / "notes.segment").write_bytes(b"of somebody else")
    found, unreadable = find_segments(tmp_path)
    assert (found, unreadable) == ([], [segment_path(tmp_path, 1)])


def test_the_newest_damaged_files_are_kept(tmp_path: Path) -> None:
    for first in range(4):
        path = segment_path(tmp_path, first)
        path.write_bytes(b"damaged")
        set_aside(path)
    assert [each.name[18:] for each in sorted(tmp_path.iterdir())] == ["02.damaged", "03.damaged"]


@pytest.mark.parametrize(("damaged", "left"), [(False, 0), (True, 1)])
def test_what_is_removed_is_kept_if_it_was_damaged(
    tmp_path: Path, damaged: bool, left: int
) -> None:
    path = segment_path(tmp_path, 0)
    path.write_bytes(b"")
    segment = Segment(path, 0, 1, 0)
    segment.damaged = damaged
    segment.remove()
    segment.remove()  # somebody else's removal is no error
    assert len(list(tmp_path.iterdir())) == left


def test_a_damaged_header_is_noticed_without_the_key(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 1)
    (path,) = segments(tmp_path)
    flip(path, 3)
    assert find_segments(tmp_path) == ([], [path])
