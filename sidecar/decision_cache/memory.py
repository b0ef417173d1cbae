"""Sealed memory: memfds that two processes map, and that neither can make smaller.

A mapped file that is truncated ends every process that reads it (SIGBUS), and so does a full
tmpfs. So each memory is allocated in full before it is sealed against shrinking, growing and
unsealing (memfd_create(2)), and what comes from outside is checked for that before it is mapped.
"""

import fcntl
import mmap
import os
import stat

from sidecar.common.errors import Fault
from sidecar.decision_cache.protocol import (
    HEAD_OFFSET,
    MAX_RING,
    MIN_RING,
    PROTOCOL,
    RING_HEAD,
    RING_HEADER,
    RING_MAGIC,
    SEALS,
    TAIL_OFFSET,
    WORD_BYTES,
)


class MemoryFault(Fault):
    """A memory can't be made, or one from outside is not what it must be."""


class SharedMemory:
    """One sealed memory, mapped. ``words`` are its 8-byte words, each written in one store."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Take over the descriptor of a memory that was checked."""
        self.descriptor = descriptor
        self.size = size
        try:
            self.bytes = mmap.mmap(descriptor, size)
        except (OSError, ValueError) as exc:
            os.close(descriptor)
            raise MemoryFault(f"a shared memory can't be mapped: {exc}") from exc
        self.words = memoryview(self.bytes).cast("Q")

    def close(self) -> None:
        """Unmap it and close its descriptor. The other process keeps its own."""
        self.words.release()
        self.bytes.close()
        os.close(self.descriptor)


def make_memory(name: str, size: int) -> SharedMemory:
    """Allocate and seal a memory of zeros. Raises ``MemoryFault``."""
    try:
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(descriptor, 0, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as exc:
        raise MemoryFault(f"no shared memory of {size} bytes: {exc.strerror}") from exc
    return SharedMemory(descriptor, size)


def make_ring(ring_id: bytes, data_bytes: int) -> SharedMemory:
    """Make a ring of ``data_bytes``, a power of two, with its header."""
    memory = make_memory("septem-ring", RING_HEADER + data_bytes)
    head = RING_HEAD.pack(RING_MAGIC, PROTOCOL, RING_HEADER, data_bytes, ring_id)
    memory.bytes[: len(head)] = head
    return memory


def take_memory(descriptor: int, least: int, most: int) -> SharedMemory:
    """Map a memory from outside, and take over its descriptor.

    Raises ``MemoryFault`` for a file that is not sealed, or whose size is not within the bounds;
    the descriptor is closed then.
    """
    try:
        found = os.fstat(descriptor)
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:  # an ordinary file has no seals
        found, seals = None, 0
    if found is None or seals & SEALS != SEALS or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise MemoryFault("it is not a sealed memory")
    if not least <= found.st_size <= most or found.st_blksize != mmap.PAGESIZE:
        os.close(descriptor)
        raise MemoryFault(f"it has {found.st_size} bytes in pages of {found.st_blksize}")
    return SharedMemory(descriptor, found.st_size)


def take_ring(descriptor: int) -> tuple[SharedMemory, bytes]:
    """Map a ring that a module hands over; return it with its id. Raises ``MemoryFault``."""
    memory = take_memory(descriptor, RING_HEADER + MIN_RING, RING_HEADER + MAX_RING)
    magic, protocol, header, data_bytes, ring_id = RING_HEAD.unpack_from(memory.bytes)
    size = memory.size - RING_HEADER
    known = (magic, protocol, header) == (RING_MAGIC, PROTOCOL, RING_HEADER)
    if not known or data_bytes != size or size & (size - 1):
        memory.close()
        raise MemoryFault("its header is not a ring's")
    head, tail = (memory.words[offset // WORD_BYTES] for offset in (HEAD_OFFSET, TAIL_OFFSET))
    if not 0 <= head - tail <= size:
        memory.close()
        raise MemoryFault(f"its head {head} and tail {tail} are impossible")
    return memory, ring_id
