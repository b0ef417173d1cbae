"""Peer credentials of a Unix socket, and which peers are allowed.

The kernel records a process's identity when it connects (SO_PEERCRED, unix(7)); the peer can't
forge it. It proves the user and the groups of the peer at that moment, and not which program it
is: another process of Envoy's user is allowed too, and so is a process to which Envoy passes its
descriptor. Behind a user namespace the numbers are those of this process's namespace.

This process's children are recognised by their descent: workers run as the same user, parse
clients' bytes, and must never get a certificate's key.
"""

import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_MAX_GENERATIONS = 64
_NO_PARENTS = frozenset({0, 1})
_UCRED = struct.Struct("3i")
_SO_PEERGROUPS = 59
"""Linux 4.13; Python has no name for it."""
_MAX_GROUPS_BYTES = 1024
"""The size Python reads: 256 groups. Of a peer with more only its primary group counts."""


class Peer(NamedTuple):
    """The user and the groups of a peer when it connected.

    ``pid`` is 0 for a peer in another PID namespace.
    """

    pid: int
    uid: int
    groups: frozenset[int]


class PeerRule(NamedTuple):
    """Who may connect: these users, and members of these groups."""

    uids: frozenset[int]
    gids: frozenset[int]

    def allows(self, peer: Peer) -> bool:
        """Return whether a peer is allowed."""
        return peer.uid in self.uids or not self.gids.isdisjoint(peer.groups)


def make_rule(uids: Collection[int], gids: Collection[int]) -> PeerRule:
    """Return a rule; without any numbers it allows this process's user and group, as 0660."""
    if uids or gids:
        return PeerRule(frozenset(uids), frozenset(gids))
    return PeerRule(frozenset({os.geteuid()}), frozenset({os.getegid()}))


def read_peer(connection: socket.socket) -> Peer:
    """Return the peer's credentials from the kernel. Raises ``OSError``."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        groups = b""
    supplementary = (each for (each,) in struct.iter_unpack("I", groups))
    return Peer(pid, uid, frozenset({gid, *supplementary}))


def describe_peer(connection: socket.socket | None) -> str:
    """Return who has connected, for a log: of a Unix socket its user and process."""
    try:
        if connection is None:
            return "unknown"
        if connection.family == socket.AF_UNIX:
            peer = read_peer(connection)
            return f"user {peer.uid}, process {peer.pid}"
        host, port = connection.getpeername()[:2]
    except OSError:
        return "unknown"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def may_descend_from(pid: int, ancestor: int) -> bool:
    """Return whether a process is, or could be, a descendant of ``ancestor``.

    True if it can't be determined: a process that has ended may have passed its connection to
    another. False for a process of another PID namespace (0), since children are always visible
    in the namespace of their parents, and for a process that this one may not signal and whose
    parents are hidden: children have this process's user.
    """
    for _ in range(_MAX_GENERATIONS):
        if pid in _NO_PARENTS:
            return False
        parent = _parent_of(pid)
        if parent is None:
            return not _is_anothers(pid)
        if parent == ancestor:
            return True
        pid = parent
    return True


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name is in brackets and may contain any byte; state and parent follow.
    return int(stat.rpartition(b")")[2].split()[1])


def _is_anothers(pid: int) -> bool:
    """Return whether a process exists and belongs to another user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
