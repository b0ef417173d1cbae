"""Which DPoP proofs were seen: a bounded table that the workers of one sidecar share.

It lies in one memory that every process which answers Checks has mapped, so a proof that one of
them has accepted is denied by all others from that moment on, and no Check waits for a message.
A proof has one of the table's sets, by its digest, and a place of that set until it would be
denied by its age; then the place is free. Nothing that still counts is ever pushed out: where a
set is full, a new proof is denied (``ProofUse.FULL``), because to forget would be to let a replay
pass.

Two processes never write a set at once: the one that looks holds a record lock on it (fcntl(2)),
which the kernel releases when its process ends. A lock that is not to be had within
``_LOCK_TRIES`` means that its holder was stopped in the middle of a few microseconds; that is
answered like a full set.

Layout: ``SECRET_BYTES`` of the group's secret, then the sets. A set has ``WAYS`` digests of
``_DIGEST_BYTES``, then ``WAYS`` times of 4 bytes, in Unix seconds, native order; 0 is free.
"""

import fcntl
import math
import os
import struct
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from sidecar.tokens.dpop_nonces import SECRET_BYTES

WAYS = 64
_DIGEST_BYTES = 16
_DIGESTS = WAYS * _DIGEST_BYTES
_TIMES = struct.Struct(f"={WAYS}I")
_TIME = struct.Struct("=I")
_SET_BYTES = _DIGESTS + _TIMES.size
_LATEST = 2**32 - 1
_LOCK_TRIES = 1000
MAX_ENTRIES = 1 << 24
MAX_TABLE_BYTES = SECRET_BYTES + MAX_ENTRIES // WAYS * _SET_BYTES


class ProofUse(Enum):
    """What the table says of a proof."""

    NEW = "new"
    REPLAYED = "replayed"
    FULL = "full"


class Buffer(Protocol):
    """Memory that is read and written in place, such as an ``mmap``."""

    def __len__(self) -> int:
        """Return its size in bytes."""

    def __getitem__(self, key: slice) -> bytes:
        """Return a copy of some bytes."""

    def __setitem__(self, key: slice, value: bytes) -> None:
        """Write as many bytes as the slice has."""


Lock = Callable[[int, bool], bool]
"""``lock(number, hold)``: take or release the lock of a set; false where it is not to be had."""


def table_bytes(entries: int) -> int:
    """Return the bytes of a table for so many proofs, and a little more."""
    return SECRET_BYTES + math.ceil(entries / WAYS) * _SET_BYTES


def no_lock(_number: int, _hold: bool) -> bool:
    """Lock nothing: for a table that one process has for itself."""
    return True


def record_lock(descriptor: int) -> Lock:
    """Return the lock of a table that several processes have mapped from this descriptor."""

    def lock(number: int, hold: bool) -> bool:
        if not hold:
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, number)
            return True
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except BlockingIOError:
                os.sched_yield()
            else:
                return True
        return False

    return lock


class ReplayTable:
    """The proofs that were accepted and still hold."""

    __slots__ = ("_lock", "_memory", "_sets", "refused")

    def __init__(self, memory: Buffer, lock: Lock = no_lock) -> None:
        self._memory = memory
        self._lock = lock
        self._sets = (len(memory) - SECRET_BYTES) // _SET_BYTES
        if self._sets < 1:
            raise ValueError("a table of proofs has no room for one set")
        self.refused = 0
        """How often there was no room in this process."""

    def remember(self, digest: bytes, ends_at: float, now: float) -> ProofUse:
        """Remember a proof by its SHA-256 until ``ends_at``; say whether it was seen before.

        Times are Unix seconds.
        """
        number = int.from_bytes(digest[:8], "big") % self._sets
        if not self._lock(number, True):
            self.refused += 1
            return ProofUse.FULL
        try:
            seen = self._remember(number, digest[-_DIGEST_BYTES:], ends_at, now)
        finally:
            self._lock(number, False)
        self.refused += seen is ProofUse.FULL
        return seen

    def _remember(self, number: int, mark: bytes, ends_at: float, now: float) -> ProofUse:
        start = SECRET_BYTES + number * _SET_BYTES
        times_at = start + _DIGESTS
        digests = self._memory[start:times_at]
        times = _TIMES.unpack(self._memory[times_at : times_at + _TIMES.size])
        at = digests.find(mark)
        while at >= 0:
            # A match across two digests is none; one whose time is over was free again.
            if at % _DIGEST_BYTES == 0 and times[at // _DIGEST_BYTES] > now:
                return ProofUse.REPLAYED
            at = digests.find(mark, at + 1)
        way = next((way for way, until in enumerate(times) if until <= now), None)
        if way is None:
            return ProofUse.FULL
        until = min(math.ceil(ends_at), _LATEST)
        place = start + way * _DIGEST_BYTES
        self._memory[place : place + _DIGEST_BYTES] = mark
        place = times_at + way * _TIME.size
        self._memory[place : place + _TIME.size] = _TIME.pack(until)
        return ProofUse.NEW
