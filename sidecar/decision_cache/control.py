"""The control memory: what modules read of the sidecar. Each word has one writer.

The main process makes it and writes the route table. Each process that answers Checks has a
word of its own: its epoch, raised when what it decides by has changed, and its beat.
"""

import secrets
from collections.abc import Callable
from zlib import crc32

from sidecar.decision_cache.memory import MemoryFault, SharedMemory, make_memory, take_memory
from sidecar.decision_cache.protocol import (
    COMMON_BYTES,
    COMMON_OFFSET,
    CONTROL_HEAD,
    CONTROL_MAGIC,
    MAX_WORKERS,
    PLACED,
    POOL_OFFSET,
    PROTOCOL,
    ROW,
    ROWS_OFFSET,
    SECRET_BYTES,
    TABLE_COUNTS,
    TABLE_OFFSET,
    UNIT,
    WORD_BYTES,
    WORKER_BYTES,
    WORKER_OFFSET,
    control_bytes,
)
from sidecar.decision_cache.route_rows import EncodedTable

_SEQUENCE = TABLE_OFFSET // WORD_BYTES
_COUNTS_OFFSET = TABLE_OFFSET + WORD_BYTES


def make_control(workers: int, stale_ns: int, credit_slots: int) -> SharedMemory:
    """Make the memory, with an empty table and without any beat."""
    size = control_bytes(workers)
    memory = make_memory("septem-control", size)
    secret = secrets.token_hex(SECRET_BYTES // 2).encode("ascii")
    head = CONTROL_HEAD.pack(CONTROL_MAGIC, PROTOCOL, workers, size, stale_ns, secret, credit_slots)
    memory.bytes[: len(head)] = head
    return memory


def take_control(descriptor: int) -> SharedMemory:
    """Map the main process's memory in a worker. Raises ``MemoryFault``."""
    memory = take_memory(descriptor, control_bytes(1), control_bytes(MAX_WORKERS))
    magic, _, workers, size, *_ = CONTROL_HEAD.unpack_from(memory.bytes)
    if magic != CONTROL_MAGIC or not memory.size == size == control_bytes(workers):
        memory.close()
        raise MemoryFault("it is no control memory")
    return memory


def secret_of(memory: SharedMemory) -> bytes:
    """Return the secret that every payload begins with."""
    return bytes(CONTROL_HEAD.unpack_from(memory.bytes)[5])


def write_table(memory: SharedMemory, table: EncodedTable) -> None:
    """Publish a route table: a seqlock, with a checksum over what is read."""
    words = memory.words
    words[_SEQUENCE] += 1
    memory.bytes[ROWS_OFFSET : ROWS_OFFSET + len(table.rows)] = table.rows
    memory.bytes[POOL_OFFSET : POOL_OFFSET + len(table.pool)] = table.pool
    crc = crc32(table.pool, crc32(table.rows))
    count = len(table.rows) // ROW.size
    TABLE_COUNTS.pack_into(memory.bytes, _COUNTS_OFFSET, count, len(table.pool), crc)
    words[_SEQUENCE] += 1


class WorkerWord:
    """The word of one process that answers Checks.

    A process that replaces another begins above the other's epoch, so that nothing which the
    other decided is repeated. ``clock_ns`` is CLOCK_MONOTONIC.
    """

    __slots__ = ("_beat", "_clock_ns", "_epoch", "_words", "epoch", "number")

    def __init__(self, memory: SharedMemory, number: int, clock_ns: Callable[[], int]) -> None:
        if not 0 <= number < MAX_WORKERS:
            raise MemoryFault(f"a decision cache has {MAX_WORKERS} workers at most")
        self.number = number
        self._words = memory.words
        self._epoch = (WORKER_OFFSET + number * WORKER_BYTES) // WORD_BYTES
        self._beat = self._epoch + 1
        self._clock_ns = clock_ns
        self.epoch = self._words[self._epoch]
        self.raise_epoch()

    def raise_epoch(self) -> None:
        """Have every answer that was remembered asked for anew."""
        self.epoch += 1
        self._words[self._epoch] = self.epoch

    def beat(self) -> None:
        """Say that changes are applied up to now."""
        self._words[self._beat] = self._clock_ns()

    def rest(self) -> None:
        """End every lease: no time is as old as none."""
        self._words[self._beat] = 0


class CommonArea:
    """One process's area of common parts, so that an answer need only say where its own stands.

    Within an epoch nothing in it is overwritten. ``clear`` follows the raise of the epoch: a
    module that is just reading finds the epoch raised, or another checksum.
    """

    __slots__ = ("_begin", "_memory", "_used")

    def __init__(self, memory: SharedMemory, number: int) -> None:
        self._memory = memory
        self._begin = COMMON_OFFSET + number * COMMON_BYTES
        self._used = 0

    def clear(self) -> None:
        """Begin anew, under another epoch."""
        self._used = 0

    def place(self, common: bytes) -> bytes:
        """Put a common part there; return what a payload says of it, or itself if it is full."""
        offset = self._used
        if len(common) > COMMON_BYTES - offset:
            return common
        at = self._begin + offset
        self._memory.bytes[at : at + len(common)] = common
        self._used += len(common)
        return b"%b%d%b%d%b%d" % (PLACED, offset, UNIT, len(common), UNIT, crc32(common))
