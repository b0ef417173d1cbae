"""A spool that was damaged: what can't be read is counted, all else comes, once, in its order."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.observability.audit.spool.records import read_preamble
from tests.observability.audit.spool.spooled import (
    KeyShelf,
    all_of,
    fill,
    flip,
    numbers,
    open_store,
    reader_of,
    segments,
)

RECORD = 40
"""About where a record's bytes are, after its header."""


def three_segments(folder: Path, shelf: KeyShelf) -> None:
    folder.mkdir(exist_ok=True)
    for _ in range(3):
        store = open_store(folder, shelf)
        fill(store, 3)
        store.close()


def first_record(path: Path) -> int:
    return read_preamble(path.read_bytes()).size


def alter_a_record(paths: list[Path]) -> None:
    flip(paths[1], first_record(paths[1]) + RECORD)


def alter_a_length(paths: list[Path]) -> None:
    flip(paths[1], first_record(paths[1]))


def alter_a_header(paths: list[Path]) -> None:
    flip(paths[1], 60)


def forge_an_end(paths: list[Path]) -> None:
    text = bytearray(paths[1].read_bytes())
    at = first_record(paths[1]) + 4
    text[at : at + 4] = bytes(4)
    paths[1].write_bytes(text)


def exchange_two(paths: list[Path]) -> None:
    one, two = paths[0].read_bytes(), paths[1].read_bytes()
    paths[0].write_bytes(two)
    paths[1].write_bytes(one)


def swap_two_records(paths: list[Path]) -> None:
    text = paths[1].read_bytes()
    start = first_record(paths[1])
    size = 24 + int.from_bytes(text[start : start + 4], "big")
    one, two = text[start : start + size], text[start + size : start + 2 * size]
    paths[1].write_bytes(text[:start] + two + one + text[start + 2 * size :])


def cut_the_end_off(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[1].read_bytes()[: first_record(paths[1]) + 10])


def append_rubbish(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[1].read_bytes() + b"\x00" * 500)


def remove_one(paths: list[Path]) -> None:
    paths[1].unlink()


def copy_over(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[2].read_bytes())


def empty_it(paths: list[Path]) -> None:
    paths[1].write_bytes(b"")


ALL, SECOND = list(range(90)), [*range(30), *range(60, 90)]
DAMAGES: list[tuple[Callable[[list[Path]], None], list[int]]] = [
    (alter_a_record, [*range(30), *range(40, 90)]),
    (alter_a_length, SECOND),
    (alter_a_header, SECOND),
    (forge_an_end, SECOND),
    (exchange_two, list(range(60, 90))),
    (swap_two_records, [*range(30), *range(50, 90)]),
    (cut_the_end_off, SECOND),
    (append_rubbish, ALL),
    (remove_one, SECOND),
    (copy_over, SECOND),
    (empty_it, SECOND),
]


@pytest.mark.parametrize("while_open", [False, True], ids=["before a start", "while it runs"])
@pytest.mark.parametrize(
    ("damage", "left"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES]
)
def test_damage_costs_what_it_hit(
    tmp_path: Path, damage: Callable[[list[Path]], None], left: list[int], while_open: bool
) -> None:
    shelf = KeyShelf()
    three_segments(tmp_path, shelf)
    store = open_store(tmp_path, shelf) if while_open else None
    damage(segments(tmp_path))
    store = store or open_store(tmp_path, shelf)
    reader = reader_of(store)
    assert all_of(reader) == left
    assert reader.lost == len(ALL) - len(left)
    assert reader.waiting == 0
    fill(store, 2)
    assert all_of(reader) == list(range(90, 110)), "what comes after is well"


def test_a_damaged_segment_is_kept_for_a_look_at_it(tmp_path: Path) -> None:
    shelf = KeyShelf()
    three_segments(tmp_path, shelf)
    alter_a_record(segments(tmp_path))
    all_of(reader_of(open_store(tmp_path, shelf), "one"))
    assert [each.name[18:] for each in sorted(tmp_path.glob("*.damaged"))] == ["30.damaged"]


def test_no_flipped_bit_brings_another_line(tmp_path: Path) -> None:
    chance = random.Random(18)
    shelf = KeyShelf()
    three_segments(tmp_path / "whole", shelf)
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        path = chance.choice(segments(folder))
        at = chance.randrange(first_record(path), path.stat().st_size)
        flip(path, at)
        store = open_store(folder, shelf)
        reader = reader_of(store)
        found = all_of(reader)
        assert found == sorted(set(found)), (path.name, at)
        # A header that claims other numbers of lines may make the count of the lost larger.
        assert reader.lost >= len(ALL) - len(found), (path.name, at)


def test_the_open_segment_that_was_cut_is_left_for_another(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 3)
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[: first_record(path) + 10])
    reader = reader_of(store)
    assert all_of(reader) == []
    assert reader.lost == 30
    fill(store, 2)
    assert all_of(reader) == list(range(30, 50))
    assert reader.lost == 30


def test_another_key_opens_nothing_and_is_waited_for(tmp_path: Path) -> None:
    shelf = KeyShelf()
    three_segments(tmp_path, shelf)
    store = open_store(tmp_path, shelf)
    reader = reader_of(store)
    shelf.away = True
    store.keys._known.clear()
    for _ in range(3):
        with pytest.raises(OSError, match="does not answer"):
            reader.take(100, 100_000)
    shelf.away = False
    assert all_of(reader) == ALL
    assert reader.lost == 0


def test_batches_keep_their_bounds_and_are_of_whole_records(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 10)
    reader = reader_of(store)
    sizes = []
    while batch := reader.take(35, 1_000_000):
        sizes.append(batch.line_count)
        reader.done(batch)
    assert sizes == [30, 30, 30, 10]
    fill(store, 4)
    (whole, following) = (reader.take(1, 1), reader.take(1000, 1300))
    assert whole is not None
    assert following is not None
    assert (whole.line_count, following.line_count) == (10, 10), "one record at least"


def test_it_tells_since_when_its_lines_wait(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf(), now=1234.5)
    reader = reader_of(store)
    assert reader.oldest_at_ms == 0
    fill(store, 1)
    batch = reader.take(10, 10_000)
    assert batch is not None
    assert reader.oldest_at_ms == 1_234_500
    assert numbers(batch.lines) == list(range(10))


def test_closed_it_has_no_file_open_and_can_go_on(tmp_path: Path) -> None:
    store = open_store(tmp_path, KeyShelf())
    fill(store, 2)
    reader = reader_of(store)
    batch = reader.take(10, 10_000)
    assert batch is not None
    reader.done(batch)
    reader.close()
    assert all_of(reader) == list(range(10, 20))
