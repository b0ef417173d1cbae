"""Where a chain goes on: the end of a file, which several writers share."""

import os
from pathlib import Path

import pytest

from sidecar.observability.audit.chain import Head, chain_lines
from sidecar.observability.audit.chain_file import (
    FilePlace,
    MemoryPlace,
    Resume,
    Tail,
    read_tail,
    tail_of,
)
from tests.observability.audit.test_chain import TRAIL, line

BEFORE = Head(TRAIL)
SAME = Resume(None, moved=False)


def chained(count: int, head: Head = BEFORE) -> tuple[bytes, Head]:
    lines, head = chain_lines(head, [line(n) for n in range(count)])
    return b"".join(lines), head


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


DATA, HEAD = chained(3)


@pytest.mark.parametrize(
    ("data", "whole", "tail"),
    [
        (b"", True, Tail(None)),
        (DATA, True, Tail(HEAD)),
        (b"x\n" + DATA, True, Tail(HEAD)),
        (DATA + b'{"time":"20', True, Tail(HEAD, b'{"time":"20')),
        (DATA + b"\0\0\n\n{}\n", True, Tail(HEAD, b"\0\0\n\n{}\n")),
        (line() * 3, True, Tail(None)),
        (b'{"time":"20', True, Tail(None, b'{"time":"20')),
        (DATA[10:], False, Tail(HEAD)),
        (DATA[DATA.rindex(b"\n", 0, -1) + 2 :], False, Tail(None)),
        (DATA.replace(b'"d1"', b'"e1"'), True, Tail(HEAD, b"", 2)),
        (DATA + chained(2, Head(b"e" * 16))[0], True, Tail(chained(2, Head(b"e" * 16))[1])),
    ],
)
def test_the_end_of_a_file(data: bytes, whole: bool, tail: Tail) -> None:
    assert tail_of(data, whole=whole) == tail


def test_only_the_end_of_a_long_file_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.observability.audit.chain_file.TAIL_BYTES", 700)
    data, head = chained(100)
    path.write_bytes(data.replace(b'"d3"', b'"e3"'))
    descriptor = os.open(path, os.O_RDONLY)
    assert read_tail(descriptor) == Tail(head)
    os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_file_goes_on_where_it_ended(path: Path) -> None:
    place = FilePlace(path)
    assert place.acquire() == Resume(Tail(None), moved=False)
    write(path, DATA)
    assert place.release()
    assert place.acquire() == SAME
    place.release()
    place.close()
    again = FilePlace(path)
    assert again.acquire() == Resume(Tail(HEAD), moved=False)
    again.close()
    assert path.with_name("audit.jsonl.lock").stat().st_mode & 0o777 == 0o600


def test_a_batch_that_was_not_whole_is_looked_at_again(path: Path) -> None:
    place = FilePlace(path)
    place.acquire()
    write(path, DATA + b"{")
    place.release(whole=False)
    assert place.acquire() == Resume(Tail(HEAD, b"{"), moved=False)
    place.close()


def test_what_another_writer_wrote_is_gone_on_from(path: Path) -> None:
    one, two = FilePlace(path), FilePlace(path)
    one.acquire()
    with pytest.raises(OSError, match="another process holds the lock"):
        two.acquire()
    write(path, DATA)
    one.release()
    assert two.acquire() == Resume(Tail(HEAD), moved=False)
    more, head = chained(2, HEAD)
    write(path, more)
    two.release()
    assert one.acquire() == Resume(Tail(head), moved=False)
    one.release()
    for each in (one, two):
        each.close()


def test_of_what_another_writer_wrote_only_that_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, head = chained(50)
    place = FilePlace(path)
    place.acquire()
    write(path, data.replace(b'"d3"', b'"e3"'))
    place.release()
    more, head = chained(2, head)
    write(path, more)
    assert place.acquire() == Resume(Tail(head), moved=False), "and not the broken line before"
    place.release()
    monkeypatch.setattr("sidecar.observability.audit.chain_file.TAIL_BYTES", 700)
    more, head = chained(9, head)
    write(path, more)
    assert place.acquire() == Resume(Tail(head), moved=False)
    place.close()


def test_a_file_that_another_writer_renamed_is_followed(path: Path) -> None:
    one, two = FilePlace(path), FilePlace(path)
    for each in (one, two):
        each.acquire()
        write(path, b"")
        each.release()
    one.acquire()
    path.rename(path.with_name("audit.jsonl.1"))
    write(path, DATA)
    assert one.release(), "its own rotation"
    assert two.acquire() == Resume(Tail(HEAD), moved=True)
    two.release()
    for each in (one, two):
        each.close()


def test_a_file_that_was_moved_away_is_begun_anew_and_the_chain_is_not(path: Path) -> None:
    """As logrotate does it, before it sends the signal; with and without its ``create``."""
    place = FilePlace(path)
    place.acquire()
    write(path, DATA)
    place.release()
    path.rename(path.with_name("audit.jsonl-20261126"))
    assert place.acquire() == Resume(None, moved=True)
    place.release()
    path.touch()
    assert place.acquire() == Resume(None, moved=True)
    place.release()
    assert place.acquire() == SAME
    place.close()


@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl-20261126", "audit.jsonl.20261126"])
@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_file_goes_on_from_the_one_renamed_last(
    path: Path, name: str, *, exists: bool
) -> None:
    path.with_name(name).write_bytes(DATA)
    older = path.with_name("audit.jsonl.2")
    older.write_bytes(chained(9)[0])
    os.utime(older, (1, 1))
    path.with_name("audit.jsonl.lock.1").write_bytes(b"no log")
    if exists:
        path.touch()
    place = FilePlace(path)
    assert place.acquire() == Resume(Tail(HEAD), moved=False)
    place.close()


def test_a_lock_that_is_removed_is_made_again(path: Path) -> None:
    one, two = FilePlace(path), FilePlace(path)
    one.acquire()
    one.release()
    path.with_name("audit.jsonl.lock").unlink()
    three = FilePlace(path)
    three.acquire()
    for each in (one, two):
        with pytest.raises(OSError, match="another process holds the lock"):
            each.acquire()
    three.release()
    one.acquire()
    for each in (one, two, three):
        each.close()


def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path) -> None:
    path.with_name("other").write_bytes(DATA)
    path.symlink_to(path.with_name("other"))
    place = FilePlace(path)
    with pytest.raises(OSError, match="symbolic"):
        place.acquire()
    path.unlink()
    assert place.acquire().tail == Tail(None), "the lock was given back"
    place.close()


def test_among_several_receivers_each_process_begins_a_chain(path: Path) -> None:
    assert MemoryPlace().acquire() == SAME
    place = MemoryPlace(path)
    assert place.acquire() == SAME
    path.write_bytes(DATA)
    place = MemoryPlace(path)
    assert place.acquire() == Resume(None, moved=False, before=HEAD)
    assert place.acquire() == SAME
