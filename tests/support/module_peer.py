"""The module's side of the decision cache's protocol, in Python: for what no real module does.

Independent of ``sidecar/decision_cache`` but for the numbers of ``protocol``, which a test holds
against the header.
"""

import array
import fcntl
import json
import mmap
import os
import re
import socket
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.decision_cache.memory import SharedMemory
from sidecar.decision_cache.protocol import (
    COMMON_BYTES,
    COMMON_OFFSET,
    COUNT_OFFSET,
    DESCRIPTORS,
    HAS_OLD_RING,
    HEAD_OFFSET,
    HELLO,
    HELLO_MAGIC,
    MAX_PAYLOAD,
    MAX_RECORDS,
    PROTOCOL,
    RING_HEAD,
    RING_HEADER,
    RING_MAGIC,
    TAIL_OFFSET,
    WELCOME,
)

_INSERTION = re.compile(rb"\x1a(.)")


class PeerRing:
    """A ring as its writer has it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.map = mmap.mmap(descriptor, 0)
        self.words = memoryview(self.map).cast("Q")
        self.bytes = len(self.map) - RING_HEADER
        self.ring_id = RING_HEAD.unpack_from(self.map)[4].decode()
        self._count = 0

    @property
    def head(self) -> int:
        return self.words[HEAD_OFFSET // 8]

    @property
    def tail(self) -> int:
        return self.words[TAIL_OFFSET // 8]

    def count(self, number: int, value: int) -> None:
        self.words[COUNT_OFFSET // 8 + number] = value

    def write(self, data: bytes) -> None:
        """Append bytes, whatever they are; what does not fit is an error of the test."""
        assert self.head + len(data) - self.tail <= self.bytes
        for offset, byte in enumerate(data):
            self.map[RING_HEADER + (self.head + offset) % self.bytes] = byte
        self.words[HEAD_OFFSET // 8] = self.head + len(data)

    def line(self, **changes: Any) -> bytes:
        """Return a line as the module writes it, with another id each time."""
        self._count += 1
        fields = {
            "time": "2026-01-31T12:34:56.789+00:00",
            "decision_id": f"{self.ring_id}{self._count:08x}",
            "outcome": "allow",
            "reason": "token_verified",
            "status": 200,
            "route": "api",
            "tenant": "acme",
            "latency_us": 17,
            **changes,
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    def close(self) -> None:
        self.words.release()
        self.map.close()
        os.close(self.descriptor)


class Welcome(NamedTuple):
    """What a lease consists of."""

    control: int
    credit: int
    ring: PeerRing


class Peer:
    """One connection to a lease server."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(str(path))

    def say(
        self, *, magic: bytes = HELLO_MAGIC, protocol: int = PROTOCOL, old: int | None = None
    ) -> None:
        """Say hello, with the descriptor of an old ring."""
        flags = 0 if old is None else HAS_OLD_RING
        hello = HELLO.pack(magic, protocol, flags, os.getpid(), 0, b"0.1.0", 0)
        self.send(hello, () if old is None else (old,))

    def send(self, message: bytes, descriptors: tuple[int, ...] = ()) -> None:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        self.socket.sendmsg([message], [rights] if descriptors else [])

    def receive(self) -> Welcome | None:
        """Wait for the welcome; ``None`` where the server hangs up."""
        try:
            message, ancillary, _, _ = self.socket.recvmsg(WELCOME.size, socket.CMSG_SPACE(64))
        except ConnectionResetError:
            return None
        if not message:
            return None
        assert len(message) == WELCOME.size
        found = array.array("i")
        for _, _, data in ancillary:
            found.frombytes(data)
        assert len(found) == DESCRIPTORS
        return Welcome(found[0], found[1], PeerRing(found[2]))

    def close(self) -> None:
        self.socket.close()


def sealed(data_bytes: int, *, seals: int = 7, head: bytes | None = None) -> int:
    """Return a ring that is right, but for what is changed."""
    descriptor = os.memfd_create("ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(descriptor, 0, RING_HEADER + data_bytes)
    right = RING_HEAD.pack(RING_MAGIC, PROTOCOL, RING_HEADER, data_bytes, b"0123456789ab")
    os.pwrite(descriptor, right if head is None else head, 0)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


class Repeated(NamedTuple):
    """What a payload does, as the module would do it."""

    head: list[str]
    set_headers: dict[str, str]
    removed: set[str]
    response_headers: list[tuple[int, str, str]]
    metadata: dict[str, str]
    line: dict[str, Any]


def common_at(control: SharedMemory, worker: int, common: bytes) -> bytes:
    """Return a common part from where it stands, by the document."""
    if not common.startswith(b"@"):
        return common
    offset, length, crc = map(int, common[1:].split(b"\x1f"))
    at = COMMON_OFFSET + worker * COMMON_BYTES + offset
    text = control.bytes[at : at + length]
    assert len(text) == length <= MAX_PAYLOAD
    assert offset + length <= COMMON_BYTES
    assert zlib.crc32(text) == crc
    return text


def read_payload(payload: bytes, **fills: str) -> Repeated:
    """Read a payload by the grammar of the document; ``fills`` are T I M H P S R U."""
    head, common, own = payload.split(b"\x1d")
    slots = own.split(b"\x1f")

    def filled(value: bytes) -> str:
        def insert(found: re.Match[bytes]) -> bytes:
            name = found.group(1).decode()
            return fills[name].encode() if name.isupper() else slots[int(name, 16)]

        return _INSERTION.sub(insert, value).decode("ascii")

    records = [record.split(b"\x1f") for record in common.split(b"\x1e")]
    (line,) = (record[1] for record in records if record[0] == b"l")
    assert len(records) <= MAX_RECORDS
    return Repeated(
        head.decode().split("\x1f"),
        {r[1].decode(): filled(r[2]) for r in records if r[0] == b"h"},
        {r[1].decode() for r in records if r[0] == b"d"},
        [(int(r[0]), r[1].decode(), filled(r[2])) for r in records if r[0] in b"0123"],
        {r[1].decode(): filled(r[2]) for r in records if r[0] == b"m"},
        json.loads(filled(line)),
    )
