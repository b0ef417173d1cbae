"""Sealed memories: neither side can pull one from under the other."""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile

import pytest

from sidecar.decision_cache.memory import MemoryFault, make_memory, make_ring, take_ring
from sidecar.decision_cache.protocol import PROTOCOL, RING_HEAD, RING_HEADER, RING_MAGIC, SEALS
from tests.support.module_peer import sealed


def test_a_memory_can_neither_shrink_nor_grow_and_is_allocated() -> None:
    memory = make_memory("m", 8192)
    assert fcntl.fcntl(memory.descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS
    for size in (0, 4096, 12_288):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.descriptor, size)
    assert os.fstat(memory.descriptor).st_blocks * 512 >= 8192
    assert not os.get_inheritable(memory.descriptor)
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory.descriptor)


def test_a_ring_that_we_made_is_taken_over() -> None:
    ring = make_ring(b"0123456789ab", 65_536)
    taken, ring_id = take_ring(os.dup(ring.descriptor))
    assert ring_id == b"0123456789ab"
    assert taken.size == RING_HEADER + 65_536


def _header(**changes: object) -> bytes:
    fields = {"magic": RING_MAGIC, "protocol": 1, "header": 4096, "bytes": 65_536, "id": b"0" * 12}
    return RING_HEAD.pack(*(fields | changes).values())


def _positions(head: int, tail: int) -> int:
    descriptor = sealed(65_536)
    os.pwrite(descriptor, struct.pack("<Q", head), 64)
    os.pwrite(descriptor, struct.pack("<Q", tail), 128)
    return descriptor


def _file() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(RING_HEADER + 65_536)
        return os.dup(file.fileno())


def _pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


HOSTILE = {
    "not sealed": lambda: sealed(65_536, seals=0),
    "it can shrink": lambda: sealed(65_536, seals=1 | 4),
    "it can grow": lambda: sealed(65_536, seals=1 | 2),
    "seals can be taken": lambda: sealed(65_536, seals=2 | 4),
    "too small": lambda: sealed(32_768),
    "no power of two": lambda: sealed(65_536 + 4096, head=_header(bytes=65_536 + 4096)),
    "another size than it says": lambda: sealed(131_072, head=_header(bytes=65_536)),
    "another magic": lambda: sealed(65_536, head=_header(magic=b"SEPTEMDC")),
    "another version": lambda: sealed(65_536, head=_header(protocol=PROTOCOL + 1)),
    "another header": lambda: sealed(65_536, head=_header(header=8192)),
    "more unread than fits": lambda: _positions(70_000, 0),
    "more read than written": lambda: _positions(0, 8),
    "a file": _file,
    "a pipe": _pipe,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_ring_from_outside_is_checked_and_let_go(what: str) -> None:
    descriptor = HOSTILE[what]()
    with pytest.raises(MemoryFault):
        take_ring(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_large_pages_are_refused() -> None:
    """Those may be missing when they are first touched."""
    flags = os.MFD_ALLOW_SEALING | os.MFD_HUGETLB
    with contextlib.suppress(OSError):  # where there are none to be had
        descriptor = os.memfd_create("huge", flags)
        os.ftruncate(descriptor, 2 * mmap.PAGESIZE * 512)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        with pytest.raises(MemoryFault):
            take_ring(descriptor)
