"""The control memory, as a module reads it."""

import os
import struct
from zlib import crc32

import pytest

from sidecar.authz.routes import Route
from sidecar.decision_cache.control import (
    CommonArea,
    WorkerWord,
    make_control,
    secret_of,
    take_control,
    write_table,
)
from sidecar.decision_cache.memory import MemoryFault, make_memory
from sidecar.decision_cache.protocol import (
    COMMON_BYTES,
    COMMON_OFFSET,
    POOL_OFFSET,
    PROTOCOL,
    ROW,
    ROWS_OFFSET,
    TABLE_OFFSET,
    control_bytes,
)
from sidecar.decision_cache.route_rows import EMPTY_TABLE, encode_table

ROUTES = [Route(name=str(at), auth="required", path_prefix=f"/{at}") for at in range(3)]


def test_the_head_says_what_it_is() -> None:
    one, other = make_control(2, 500_000_000, 3), make_control(1, 1, 0)
    magic, protocol, workers, size, stale, secret, slots = struct.unpack_from(
        "<8sIIQQ32sI", one.bytes
    )
    assert (magic, protocol, workers, size) == (b"SEPTEMDC", PROTOCOL, 2, one.size)
    assert (stale, slots, secret) == (500_000_000, 3, secret_of(one))
    assert len(bytes.fromhex(secret.decode())) == 16
    assert secret != secret_of(other)
    assert one.words[128 // 8 + 1] == 0, "no beat before anybody decides"


def test_a_table_is_written_between_two_steps_of_its_sequence() -> None:
    memory, table = make_control(1, 1, 0), encode_table(ROUTES)
    assert table is not None
    write_table(memory, table)
    sequence, rows, used, crc = struct.unpack_from("<QIII", memory.bytes, TABLE_OFFSET)
    assert (sequence, rows, used) == (2, 3, len(table.pool))
    stored = memory.bytes[ROWS_OFFSET : ROWS_OFFSET + rows * ROW.size]
    assert crc == crc32(memory.bytes[POOL_OFFSET : POOL_OFFSET + used], crc32(stored))
    write_table(memory, EMPTY_TABLE)
    assert struct.unpack_from("<QIII", memory.bytes, TABLE_OFFSET) == (4, 0, 0, 0)


def test_a_successor_begins_above_its_predecessor() -> None:
    memory = make_control(2, 1, 0)
    first = WorkerWord(memory, 1, lambda: 77)
    first.raise_epoch()
    first.beat()
    assert list(memory.words[24:26]) == [2, 77]
    second = WorkerWord(memory, 1, lambda: 78)
    assert second.epoch == memory.words[24] == 3
    assert memory.words[25] == 77, "its own beat comes when it decides"
    second.rest()
    assert memory.words[25] == 0
    assert list(memory.words[16:18]) == [0, 0], "another process's word"


def test_there_are_sixteen_words() -> None:
    WorkerWord(make_control(16, 1, 0), 15, lambda: 0)
    with pytest.raises(MemoryFault):
        WorkerWord(make_control(16, 1, 0), 16, lambda: 0)


def test_a_worker_maps_what_it_inherits_and_nothing_else() -> None:
    memory = make_control(1, 1, 0)
    taken = take_control(os.dup(memory.descriptor))
    assert secret_of(taken) == secret_of(memory)
    WorkerWord(taken, 0, lambda: 5).beat()
    assert memory.words[17] == 5
    with pytest.raises(MemoryFault):
        take_control(os.dup(make_memory("other", control_bytes(1)).descriptor))
    with pytest.raises(MemoryFault):
        take_control(os.dup(make_memory("small", 4096).descriptor))


def test_a_memory_of_other_workers_than_it_says_is_none() -> None:
    memory = make_control(2, 1, 0)
    struct.pack_into("<I", memory.bytes, 12, 1)
    with pytest.raises(MemoryFault):
        take_control(os.dup(memory.descriptor))


def test_common_parts_stand_one_behind_the_other_in_their_workers_area() -> None:
    memory = make_control(2, 1, 0)
    one, other = CommonArea(memory, 0), CommonArea(memory, 1)
    assert one.place(b"first") == b"@0\x1f5\x1f%d" % crc32(b"first")
    assert one.place(b"second") == b"@5\x1f6\x1f%d" % crc32(b"second")
    assert other.place(b"other") == b"@0\x1f5\x1f%d" % crc32(b"other")
    begin = COMMON_OFFSET + COMMON_BYTES
    assert memory.bytes[COMMON_OFFSET : COMMON_OFFSET + 11] == b"firstsecond"
    assert memory.bytes[begin : begin + 5] == b"other"


def test_a_common_part_that_does_not_fit_is_sent_itself() -> None:
    memory = make_control(1, 1, 0)
    area = CommonArea(memory, 0)
    large = b"c" * (COMMON_BYTES - 4)
    assert area.place(large).startswith(b"@0\x1f")
    assert area.place(b"12345") == b"12345"
    assert area.place(b"1234").startswith(b"@%d\x1f" % len(large))
    assert area.place(b"1") == b"1"
    area.clear()
    assert area.place(b"12345").startswith(b"@0\x1f")
