"""The store: what is safe stays until every sink has it; what is refused is not half in."""

import errno
import os
import random
from pathlib import Path

import pytest

from sidecar.observability.audit.spool.records import SegmentCipher
from sidecar.observability.audit.spool.store import SpoolFullError
from tests.observability.audit.spool.spooled import (
    KeyShelf,
    all_of,
    fill,
    flip,
    lines,
    open_store,
    reader_of,
    segments,
)

MAX_BYTES = 1_048_576


def test_lines_are_had_in_their_order_and_are_nowhere_readable(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 7)
    assert b"decision_id" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    assert all_of(reader_of(store)) == list(range(70))


def test_a_line_is_not_had_before_it_is_on_the_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    store.append(lines(0), 1)
    assert reader_of(store).take(10, 1000) is None
    store.sync()
    assert all_of(reader_of(store)) == [0]


def test_each_sink_has_its_place_and_a_segment_goes_with_the_last(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf(), "one", "two")
    fill(store, 60, count=100, size=500)
    assert len(segments(tmp_path)) == 2
    one, two = reader_of(store), reader_of(store, "two")
    assert all_of(one) == list(range(6000))
    assert len(segments(tmp_path)) == 2
    assert (one.waiting, two.waiting) == (0, 6000)
    assert all_of(two) == list(range(6000))
    assert len(segments(tmp_path)) == 1
    assert store.used_bytes == segments(tmp_path)[0].stat().st_size


def test_a_new_process_goes_on_where_each_sink_was(tmp_path: Path) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf, "one", "two")
    fill(store, 4)
    reader = reader_of(store)
    batch = reader.take(20, 1000_000)
    assert batch is not None
    reader.done(batch)
    store.close()
    again = open_store(tmp_path, shelf, "one", "two", "three")
    fill(again, 1)
    assert all_of(reader_of(again)) == list(range(20, 50))
    assert all_of(reader_of(again, "two")) == list(range(50))
    assert all_of(reader_of(again, "three")) == list(range(40, 50)), "new: from its start on"


def test_a_batch_that_was_being_sent_is_made_again_of_the_same_bytes(tmp_path: Path) -> None:
    """Else a sink that tells repeated batches apart could not."""
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 3)
    sent = reader_of(store).take(1000, 1000_000)
    fill(store, 5)
    store.close()
    again = open_store(tmp_path, shelf)
    reader = reader_of(again)
    assert reader.take(1, 1) == sent
    assert sent is not None
    reader.done(sent)
    assert all_of(reader) == list(range(30, 80))


def test_a_full_spool_refuses_what_is_new_and_keeps_what_it_has(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf(), max_bytes=MAX_BYTES)
    with pytest.raises(SpoolFullError):
        fill(store, 10_000, count=10, size=500)
    assert MAX_BYTES * 0.99 < store.used_bytes <= MAX_BYTES
    end = store.end
    reader = reader_of(store)
    assert all_of(reader) == list(range(end))
    fill(store, 1)
    assert all_of(reader) == list(range(end, end + 10))


def test_a_sink_that_is_no_longer_one_keeps_nothing(tmp_path: Path) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf, "one", "two")
    fill(store, 60, count=100, size=500)
    all_of(reader_of(store))
    assert len(segments(tmp_path)) == 2
    store.use_sinks(["one", "new"])
    assert len(segments(tmp_path)) == 1
    assert store.cursor("two") is None
    assert all_of(reader_of(store, "new")) == []
    fill(store, 1)
    assert all_of(reader_of(store, "new")) == list(range(6000, 6010))


def test_lost_cursors_send_all_lines_again(tmp_path: Path) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 2)
    assert all_of(reader_of(store)) == list(range(20))
    flip(tmp_path / "cursors", -1)
    again = open_store(tmp_path, shelf)
    assert all_of(reader_of(again)) == list(range(20))


def test_an_older_copy_of_the_cursors_loses_nothing(tmp_path: Path) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 1)
    all_of(reader_of(store))
    older = (tmp_path / "cursors").read_bytes()
    fill(store, 2)
    all_of(reader_of(store))
    (tmp_path / "cursors").write_bytes(older)
    assert all_of(reader_of(open_store(tmp_path, shelf), "one")) == list(range(10, 30))


def fails_with(number: int, times: int) -> object:
    left = [times]

    def fail(*_: object) -> int:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return 0

    return fail


def test_a_disk_that_refuses_a_write_takes_the_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 1)
    pwrite, cut = os.pwrite, [300]

    def torn(descriptor: int, data: bytes, offset: int) -> int:
        if cut[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = pwrite(descriptor, data[: cut[0]], offset)
        cut[0] -= taken
        return taken

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(OSError, match="No space"):
        store.append(lines(10, 10), 10)
    monkeypatch.undo()
    fill(store, 2)
    assert all_of(reader_of(store)) == list(range(30))
    store.close()
    again = open_store(tmp_path, shelf, "one", "other")
    assert again.end == 30


def test_a_failed_sync_takes_back_what_was_not_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a failed write once: what it was about must be written again."""
    store = open_store(tmp_path, KeyShelf())
    fill(store, 1)
    store.append(lines(10, 10), 10)
    monkeypatch.setattr(os, "fdatasync", fails_with(errno.EIO, 1))
    with pytest.raises(OSError, match="Input/output"):
        store.sync()
    assert store.end == 10
    fill(store, 1)
    assert all_of(reader_of(store)) == list(range(20))


def test_a_full_disk_at_the_start_keeps_nothing_from_being_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 1)
    store.close()
    monkeypatch.setattr(
        "sidecar.observability.audit.spool.store.create_segment", fails_with(errno.ENOSPC, 2)
    )
    again = open_store(tmp_path, shelf)
    assert all_of(reader_of(again)) == list(range(10))
    with pytest.raises(OSError, match="space"):
        again.append(lines(10), 1)
    monkeypatch.undo()
    fill(again, 1)
    assert all_of(reader_of(again)) == list(range(10, 20))


def test_a_segment_that_was_removed_is_noticed_before_more_is_lost(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 1)
    segments(tmp_path)[0].unlink()
    with pytest.raises(OSError, match="was removed"):
        fill(store, 1)
    fill(store, 2)
    reader = reader_of(store)
    assert all_of(reader) == list(range(10, 30))
    assert reader.lost == 10


def test_after_its_end_nothing_is_changed(tmp_path: Path) -> None:
    """A sink that hangs may answer when another process has the folder already."""
    shelf = KeyShelf()
    store = open_store(tmp_path, shelf)
    fill(store, 1)
    late = reader_of(store)
    batch = late.take(100, 10_000)
    assert batch is not None
    store.close()
    successor = open_store(tmp_path, shelf)
    before = (tmp_path / "cursors").read_bytes()
    late.done(batch)
    assert (tmp_path / "cursors").read_bytes() == before
    assert all_of(reader_of(successor)) == list(range(10))


def test_a_cursor_never_goes_back(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 3)
    store.delivered("one", 30)
    store.delivered("one", 10)
    cursor = store.cursor("one")
    assert cursor is not None
    assert cursor.next == 30


def test_the_nonces_of_a_segment_are_never_used_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails in between: a record that is written again is sealed with another key."""
    used: list[tuple[SegmentCipher, int]] = []

    def seal(self: SegmentCipher, number: int, *_: object) -> bytes:
        used.append((self, number))
        return b"x" * 64

    monkeypatch.setattr(SegmentCipher, "seal", seal)
    chance = random.Random(3)
    store = open_store(tmp_path, KeyShelf())
    for _ in range(100):
        try:
            with monkeypatch.context() as broken:
                if chance.random() < 0.3:
                    broken.setattr(os, chance.choice(["pwrite", "fdatasync"]), fails_with(28, 1))
                store.append(lines(store.end), 1)
                store.sync()
        except OSError:
            continue
    assert len({cipher for cipher, _ in used}) > 10, "others were begun"
    assert len(set(used)) == len(used)
