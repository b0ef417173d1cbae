"""The layout of what sidecar and module share: ``envoy/decision_cache/protocol.h`` in Python.

``docs/decision-cache-protocol.md`` says what each part means. A test compiles the header and
compares every number here with it.
"""

import struct
from enum import IntEnum, IntFlag

PROTOCOL = 3
CONTROL_MAGIC = b"SEPTEMDC"
RING_MAGIC = b"SEPTEMRG"
HELLO_MAGIC = b"SEPTEMHI"
WELCOME_MAGIC = b"SEPTEMOK"
WORD_BYTES = 8

MAX_WORKERS = 16
SECRET_BYTES = 32
MAX_ROWS = 1024
POOL_BYTES = 131_072
TABLE_OFFSET = 4096
ROWS_OFFSET = 4160
POOL_OFFSET = 40_960
COMMON_OFFSET, COMMON_BYTES = 172_032, 131_072
"""Where the workers' areas of common parts begin, and how large each is."""
MIN_STALE_NS, MAX_STALE_NS = 50_000_000, 5_000_000_000
CONTROL_HEAD = struct.Struct("<8sIIQQ32sI")
"""Magic, protocol, workers, bytes, stale_ns, secret, credit_slots."""
WORKER_OFFSET, WORKER_BYTES = 128, 64
TABLE_COUNTS = struct.Struct("<III")
"""Rows, pool_used and crc, behind the sequence."""
ROW = struct.Struct("<IIHBBIHHIIHH")
"""Scope, flags, methods, host_kind, path_kind, host_offset, host_length, path_length,
path_offset, fold_offset, fold_length, reserved."""

MAX_CREDITS = 4096
CREDIT_STRIDE = 128
SPENT_OFFSET = 64
NO_CREDIT = 0xFFFF_FFFF

RING_HEADER = 4096
MIN_RING, MAX_RING = 65_536, 16_777_216
RING_ID = 12
MAX_LINE = 4096
RING_HEAD = struct.Struct("<8sIIQ12s")
"""Magic, protocol, header, bytes, id."""
HEAD_OFFSET, TAIL_OFFSET, COUNT_OFFSET = 64, 128, 256
COUNTS = 64

HELLO = struct.Struct("<8sIIII32sQ")
"""Magic, protocol, flags, pid, reserved, version, reserved."""
WELCOME = struct.Struct("<8sII48s")
"""Magic, protocol, flags, reserved."""
HAS_OLD_RING = 1
DESCRIPTORS = 3
SEALS = 0x0001 | 0x0002 | 0x0004
"""F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW: all that a memory must have."""
PAGE_BYTES = 4096

PAYLOAD_KEY = "septem_decision_cache"
PAYLOAD_VERSION = b"1"
MAX_PAYLOAD = 8192
MAX_RECORDS = 192
MAX_SLOTS = 16
MAX_NAME = 128
GROUP, RECORD, UNIT, INSERT = b"\x1d", b"\x1e", b"\x1f", b"\x1a"
PLACED = b"@"
"""What a common part begins with that says where it stands."""


class HostKind(IntEnum):
    """How a row's host is compared."""

    ANY = 0
    EXACT = 1
    SUFFIX = 2


class PathKind(IntEnum):
    """How a row's path is compared."""

    EXACT = 1
    PREFIX = 2


class RowFlag(IntFlag):
    """What of a row's requests is repeated."""

    ASK = 1
    ASK_ORIGIN = 2
    ASK_COOKIE = 4
    BODY_REPEATS = 8
    QUERY_REPEATS = 16


METHODS = {"GET": 1, "HEAD": 2, "POST": 4, "PUT": 8, "PATCH": 16, "DELETE": 32}
ALL_METHODS = 63


class ModuleCount(IntEnum):
    """The places of a ring's counts."""

    REPEATED = 0
    LEARNT = 1
    NOT_LEARNT = 2
    ASKED_LEASE = 8
    ASKED_EPOCH = 9
    ASKED_KIND = 10
    ASKED_ROUTE = 11
    ASKED_MISS = 12
    ASKED_ENDED = 13
    ASKED_CREDIT = 14
    ASKED_RING = 15
    ENTRIES = 24
    BYTES = 25
    EVICTED = 26


ASKED = {
    "lease": ModuleCount.ASKED_LEASE,
    "epoch": ModuleCount.ASKED_EPOCH,
    "kind": ModuleCount.ASKED_KIND,
    "route": ModuleCount.ASKED_ROUTE,
    "miss": ModuleCount.ASKED_MISS,
    "ended": ModuleCount.ASKED_ENDED,
    "credit": ModuleCount.ASKED_CREDIT,
    "ring": ModuleCount.ASKED_RING,
}
"""Why the module asked, by the name that metrics and documents use."""


def control_bytes(workers: int) -> int:
    """Return the size of the control memory."""
    return COMMON_OFFSET + workers * COMMON_BYTES


def credit_bytes(slots: int) -> int:
    """Return the size of the credit memory: whole pages, at least one."""
    return max(PAGE_BYTES, (slots * CREDIT_STRIDE + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES)
