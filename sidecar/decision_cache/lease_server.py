"""Gives leases: one connection for each worker thread of each Envoy, over a Unix socket.

The kernel says whose process a peer is (SO_PEERCRED); who is not allowed, and every child of this
process, is turned away. A connection has one handshake: the module's hello, with the ring of a
predecessor where there is one, and our answer with three sealed memories. Nothing follows but its
end. A peer that says nothing, or anything else, is let go.
"""

import array
import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.decision_cache.protocol import (
    HAS_OLD_RING,
    HELLO,
    HELLO_MAGIC,
    PROTOCOL,
    WELCOME,
    WELCOME_MAGIC,
)
from sidecar.transport.peers import Peer, PeerRule, read_peer
from sidecar.transport.sockets import (
    ListenFault,
    bind_unix,
    fresh_name,
    put_in_place,
    remove_own_socket,
)

HELLO_SECONDS = 5.0
"""How long a peer may take to say hello."""
_BACKLOG = 128
_MAX_DESCRIPTORS = 8
_ANCILLARY_BYTES = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)
_log = logging.getLogger("sidecar.decision_cache")


class HelloFault(Fault):
    """A peer's first message is not what a module of this version says."""


class Hello(NamedTuple):
    """What a module says of itself. ``old_ring`` is a descriptor, or ``None``."""

    pid: int
    version: str
    old_ring: int | None


class Admission(NamedTuple):
    """Who may connect, and how many."""

    rule: PeerRule
    is_child: Callable[[int], bool]
    max_leases: int


def read_hello(message: bytes, descriptors: Sequence[int]) -> Hello:
    """Read a hello and the descriptors beside it. Raises ``HelloFault``."""
    if len(message) != HELLO.size:
        raise HelloFault(f"its first message has {len(message)} bytes, not {HELLO.size}")
    magic, protocol, flags, pid, _, version, _ = HELLO.unpack(message)
    if magic != HELLO_MAGIC:
        raise HelloFault("its first message is no hello")
    if protocol != PROTOCOL:
        raise HelloFault(
            f"the module has protocol version {protocol}, this sidecar {PROTOCOL}: use the module"
            " of this sidecar's version"
        )
    if len(descriptors) != (1 if flags & HAS_OLD_RING else 0):
        raise HelloFault(f"its hello has {len(descriptors)} descriptors")
    shown = version.split(b"\0", 1)[0].decode("ascii", "replace")
    return Hello(pid, shown, descriptors[0] if descriptors else None)


class Lease:
    """One connection: of one worker thread of one Envoy."""

    def __init__(self, connection: socket.socket, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        self.hello: Hello | None = None
        self.timer: asyncio.TimerHandle | None = None


class LeaseServer:
    """Listens, admits, and hands out.

    ``greeted`` is called with a lease and its hello, and takes over the old ring's descriptor;
    ``welcome`` then grants the lease, at once or later. ``ended`` is called once for each lease
    that was greeted.
    """

    def __init__(
        self,
        path: Path,
        mode: int,
        admission: Admission,
        *,
        greeted: Callable[[Lease, Hello], None],
        ended: Callable[[Lease], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.refused = 0
        self.leases: set[Lease] = set()
        """Those that are granted."""
        self._path = path
        self._mode = mode
        self._admission = admission
        self._greeted = greeted
        self._ended = ended
        self._on_fault = on_fault
        self._waiting: set[Lease] = set()
        """Those that are not granted yet."""
        self._inode = 0
        self._listener: socket.socket | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Listen. Raises ``ListenFault``."""
        bound = fresh_name(self._path)
        with contextlib.ExitStack() as opened:
            try:
                listener = opened.enter_context(bind_unix(bound, socket.SOCK_SEQPACKET))
                bound.chmod(self._mode)
                listener.listen(_BACKLOG)
                self._inode = put_in_place(bound, self._path)
            except OSError as exc:
                raise ListenFault(f"cannot listen on {self._path}: {exc.strerror}") from exc
            opened.pop_all()
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept)

    def stop_listening(self) -> None:
        """Grant no more leases."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            remove_own_socket(self._path, self._inode)
            self._listener = None

    def welcome(self, lease: Lease, descriptors: Sequence[int]) -> None:
        """Grant a lease that was greeted: send control, credit and ring."""
        if lease not in self._waiting:
            return
        self._waiting.discard(lease)
        self.leases.add(lease)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        try:
            lease.connection.sendmsg([WELCOME.pack(WELCOME_MAGIC, PROTOCOL, 0, b"")], rights)
        except OSError:  # it has left meanwhile
            self.end(lease)

    def end_all(self) -> None:
        """Hang up on every peer."""
        for lease in (*self.leases, *self._waiting):
            self.end(lease)

    def end(self, lease: Lease) -> None:
        """Hang up; the module asks from then on."""
        if lease not in self.leases and lease not in self._waiting:
            return
        self.leases.discard(lease)
        self._waiting.discard(lease)
        if lease.timer is not None:
            lease.timer.cancel()
        self._loop.remove_reader(lease.connection.fileno())
        lease.connection.close()
        if lease.hello is not None:
            self._ended(lease)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has left, or there is no descriptor: it comes again in a second
            return
        try:
            self._admit(connection)
        except Exception as exc:  # noqa: BLE001 - the loop's edge: the next peer is accepted
            connection.close()
            self._on_fault(exc)

    def _admit(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            peer = read_peer(connection)
        except OSError:
            connection.close()
            return
        admission = self._admission
        if not admission.rule.allows(peer) or admission.is_child(peer.pid):
            self._refuse(connection, f"a process of user {peer.uid} (pid {peer.pid}) may not")
            return
        if len(self.leases) + len(self._waiting) >= admission.max_leases:
            self._refuse(connection, f"{admission.max_leases} leases are held: max_leases")
            return
        lease = Lease(connection, peer)
        self._waiting.add(lease)
        lease.timer = self._loop.call_later(HELLO_SECONDS, self.end, lease)
        self._loop.add_reader(connection.fileno(), self._read, lease)

    def _refuse(self, connection: socket.socket, why: str) -> None:
        self.refused += 1
        connection.close()
        _log.warning("a lease was denied: %s", why)

    def _read(self, lease: Lease) -> None:
        """Take the hello; anything after it ends the lease, as its end does."""
        message, descriptors = _receive(lease.connection)
        if message is None:
            return
        try:
            if lease.hello is None and message:
                self._greet(lease, message, descriptors)
                return
        except Fault as fault:
            self.refused += 1
            _log.warning("a lease was denied (pid %d): %s", lease.peer.pid, fault)
        except Exception as exc:  # noqa: BLE001 - the loop's edge: the other leases go on
            self._on_fault(exc)
        _close_all(descriptors)
        self.end(lease)

    def _greet(self, lease: Lease, message: bytes, descriptors: list[int]) -> None:
        hello = read_hello(message, descriptors)
        descriptors.clear()  # the old ring's is whose the hello is
        if lease.timer is not None:
            lease.timer.cancel()
        lease.hello = hello
        self._greeted(lease, hello)


def _receive(connection: socket.socket) -> tuple[bytes | None, list[int]]:
    """Return a message, empty for the end, ``None`` for none yet; and the descriptors with it."""
    descriptors = array.array("i")
    try:
        message, ancillary, _, _ = connection.recvmsg(
            HELLO.size + 1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return None, []
    except OSError:
        return b"", []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) // descriptors.itemsize * descriptors.itemsize])
    return message, list(descriptors)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
