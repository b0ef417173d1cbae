"""The sidecar's side of ``envoy/decision_cache/protocol.h``, as small as tests need it.

Independent of ``sidecar/decision_cache`` on purpose: the module is tested against the contract,
not against the sidecar's reading of it. ``tests/envoy/decision_cache/test_layout.py`` holds the
numbers below against the compiler's.
"""

import array
import contextlib
import fcntl
import mmap
import os
import secrets
import socket
import struct
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

PROTOCOL = 3
CONTROL_MAGIC, RING_MAGIC = b"SEPTEMDC", b"SEPTEMRG"
HELLO_MAGIC, WELCOME_MAGIC = b"SEPTEMHI", b"SEPTEMOK"
CONTROL_BYTES = 172_032 + 131_072  # of one worker
TABLE_OFFSET, ROWS_OFFSET, POOL_OFFSET, POOL_BYTES = 4096, 4160, 40_960, 131_072
SECRET_OFFSET, SLOTS_OFFSET, WORKER_OFFSET = 32, 64, 128
EPOCH_WORD, BEAT_WORD = WORKER_OFFSET // 8, WORKER_OFFSET // 8 + 1
CREDIT_STRIDE, SPENT_OFFSET, NO_CREDIT = 128, 64, 0xFFFFFFFF
RING_HEADER, RING_ID_OFFSET, HEAD_WORD, TAIL_WORD, COUNT_WORD = 4096, 24, 8, 16, 32
ROW = struct.Struct("<IIHBBIHHIIHH")
HELLO = struct.Struct("<8sIIII32sQ")
HOST_ANY, HOST_EXACT, HOST_SUFFIX = 0, 1, 2
PATH_EXACT, PATH_PREFIX = 1, 2
GET, HEAD, POST, PUT, PATCH, DELETE, ALL_METHODS = 1, 2, 4, 8, 16, 32, 63
ASK, ASK_ORIGIN, ASK_COOKIE, BODY_REPEATS, QUERY_REPEATS = 1, 2, 4, 8, 16
SHRINK_GROW_SEAL = 2 | 4 | 1
COUNTS = {
    "repeated": 0, "learnt": 1, "not_learnt": 2, "asked_lease": 8, "asked_epoch": 9,
    "asked_kind": 10, "asked_route": 11, "asked_miss": 12, "asked_ended": 13, "asked_credit": 14,
    "asked_ring": 15, "entries": 24, "bytes": 25, "evicted": 26,
}  # fmt: skip
PAYLOAD_KEY = "septem_decision_cache"
GROUP, RECORD, UNIT, INSERT = b"\x1d", b"\x1e", b"\x1f", b"\x1a"


class Row(NamedTuple):
    """One row of the route table; ``fold`` as ``sidecar.authz.lenient.fold`` makes it."""

    scope: int
    path: str
    fold: str
    host: str = "*"
    flags: int = BODY_REPEATS | QUERY_REPEATS
    methods: int = ALL_METHODS
    prefix: bool = True


def sealed(name: str, size: int) -> int:
    """Make a memory that the module accepts."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(fd, 0, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SHRINK_GROW_SEAL)
    return fd


def table_of(rows: Iterable[Row]) -> tuple[bytes, bytes, int]:
    """Encode a route table: its rows, its pool, and how many rows there are."""
    pool, packed = bytearray(), bytearray()
    count = 0
    for row in rows:
        kind = HOST_ANY if row.host == "*" else HOST_SUFFIX if row.host[0] == "*" else HOST_EXACT
        places = []
        for text in ("" if kind == HOST_ANY else row.host.lstrip("*"), row.path, row.fold):
            places.append((len(pool), len(text.encode())))
            pool += text.encode()
        (host, host_length), (path, path_length), (fold, fold_length) = places
        packed += ROW.pack(
            row.scope, row.flags, row.methods, kind, PATH_PREFIX if row.prefix else PATH_EXACT,
            host, host_length, path_length, path, fold, fold_length, 0,
        )  # fmt: skip
        count += 1
    return bytes(packed), bytes(pool), count


def control_image(rows: Iterable[Row]) -> bytes:
    """Return a control memory with this route table, and nothing else that matters."""
    image = bytearray(CONTROL_BYTES)
    packed, pool, count = table_of(rows)
    crc = zlib.crc32(pool, zlib.crc32(packed))
    struct.pack_into("<QIII", image, TABLE_OFFSET, 2, count, len(pool), crc)
    image[ROWS_OFFSET : ROWS_OFFSET + len(packed)] = packed
    image[POOL_OFFSET : POOL_OFFSET + len(pool)] = pool
    return bytes(image)


class Ring:
    """One ring as the sidecar reads it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._words = memoryview(self._map).cast("Q")
        self.size = len(self._map) - RING_HEADER

    def drain(self) -> bytes:
        """Take every finished line."""
        head, tail = self._words[HEAD_WORD], self._words[TAIL_WORD]
        length, at = head - tail, tail % self.size
        whole = self._map[RING_HEADER + at : RING_HEADER + min(at + length, self.size)]
        whole += self._map[RING_HEADER : RING_HEADER + length - len(whole)]
        self._words[TAIL_WORD] = head
        return whole

    def counts(self) -> dict[str, int]:
        """Read what the module counts."""
        return {name: self._words[COUNT_WORD + number] for name, number in COUNTS.items()}

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._map.close()
        os.close(self.fd)


class Leases:
    """Control and credit memory of one sidecar with one worker."""

    def __init__(self, rows: Iterable[Row], *, stale_ms: int = 500, slots: int = 1) -> None:
        self.secret = secrets.token_hex(16)
        self.fd = sealed("septem-control", CONTROL_BYTES)
        self.credit_fd = sealed(
            "septem-credit", max(4096, -(-slots * CREDIT_STRIDE // 4096) * 4096)
        )
        self._map = mmap.mmap(self.fd, CONTROL_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self._credit = memoryview(mmap.mmap(self.credit_fd, 0)).cast("Q")
        struct.pack_into(
            "<8sIIQQ", self._map, 0, CONTROL_MAGIC, PROTOCOL, 1, CONTROL_BYTES, stale_ms * 1_000_000
        )
        self._map[SECRET_OFFSET : SECRET_OFFSET + 32] = self.secret.encode()
        struct.pack_into("<I", self._map, SLOTS_OFFSET, slots)
        self._words[EPOCH_WORD] = 1
        self.set_rows(rows)
        self.grant(0, 1 << 40)
        self.beat()

    @property
    def epoch(self) -> int:
        """The epoch of the one worker."""
        return self._words[EPOCH_WORD]

    def raise_epoch(self) -> None:
        """Something has changed that decisions depend on."""
        self._words[EPOCH_WORD] += 1

    def beat(self) -> None:
        """The loop that decides is alive."""
        self._words[BEAT_WORD] = time.monotonic_ns()

    def grant(self, slot: int, granted: int) -> None:
        """Set how many may be spent of a slot in all."""
        self._credit[slot * CREDIT_STRIDE // 8] = granted

    def spent(self, slot: int) -> int:
        """Read how many were."""
        return self._credit[(slot * CREDIT_STRIDE + SPENT_OFFSET) // 8]

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Publish another route table."""
        image = control_image(rows)
        self._words[TABLE_OFFSET // 8] += 1
        table = slice(TABLE_OFFSET + 8, POOL_OFFSET + POOL_BYTES)
        self._map[table] = image[table]
        self._words[TABLE_OFFSET // 8] += 1

    def welcome(self, peer: socket.socket, ring_bytes: int = 1 << 20) -> tuple[Ring, Ring | None]:
        """Take a hello and answer it; return the new ring, and the one that was handed over."""
        data, extra, _, _ = peer.recvmsg(HELLO.size, socket.CMSG_SPACE(64))
        magic, protocol, flags, _, _, version, _ = HELLO.unpack(data)
        if magic != HELLO_MAGIC or protocol != PROTOCOL or not version.strip(b"\0"):
            raise ValueError(f"not a hello: {data!r}")
        handed = array.array("i")
        for _, _, descriptors in extra:
            handed.frombytes(descriptors)
        if len(handed) != flags & 1:
            raise ValueError(f"{len(handed)} descriptors with flags {flags}")
        fd = sealed("septem-ring", RING_HEADER + ring_bytes)
        with mmap.mmap(fd, RING_HEADER) as header:
            struct.pack_into("<8sIIQ", header, 0, RING_MAGIC, PROTOCOL, RING_HEADER, ring_bytes)
            header[RING_ID_OFFSET : RING_ID_OFFSET + 12] = secrets.token_hex(6).encode()
        given = array.array("i", [self.fd, self.credit_fd, fd])
        peer.sendmsg(
            [struct.pack("<8sII48x", WELCOME_MAGIC, PROTOCOL, 0)],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)],
        )
        return Ring(fd), Ring(handed[0]) if handed else None

    def close(self) -> None:
        """Give the memories back."""
        self._words.release()
        self._map.close()
        for fd in (self.fd, self.credit_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


def payload(
    leases: Leases,
    records: Iterable[tuple[bytes, ...]],
    own: Iterable[bytes],
    *,
    scope: int = 1,
    seconds: float = 600.0,
    credit: int = NO_CREDIT,
    head: Mapping[str, object] | None = None,
) -> bytes:
    """Write a payload; ``head`` replaces fields of its head."""
    now_ms = int(time.time() * 1000)
    fields = {
        "version": 1,
        "secret": leases.secret,
        "worker": 0,
        "epoch": leases.epoch,
        "from": now_ms - 1000,
        "until": now_ms + int(seconds * 1000),
        "scope": scope,
        "credit": credit,
        **(head or {}),
    }
    return GROUP.join(
        (
            UNIT.join(str(value).encode() for value in fields.values()),
            RECORD.join(UNIT.join(record) for record in records),
            UNIT.join(own),
        )
    )
