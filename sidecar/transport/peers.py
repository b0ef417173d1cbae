"""Who is at the other end of a Unix socket: what the kernel says, and who may be there.

The kernel notes a process's identity when it connects (SO_PEERCRED, unix(7)); the peer can't
forge it. It proves the user and the groups the peer had at that moment, and not which
program it is: another process of Envoy's user passes, and so does whoever Envoy hands its
end to. Behind a user namespace the numbers are those of ours.

Our own children are known by their descent: workers are of our user, read what clients send,
and are never to have a certificate's key.
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
"""What Python reads of an option: 256 groups. A peer with more counts with its own group alone."""


class Peer(NamedTuple):
    """The user and the groups of a peer when it connected.

    ``pid`` is 0 where it is of another PID namespace.
    """

    pid: int
    uid: int
    groups: frozenset[int]


class PeerRule(NamedTuple):
    """Who may connect: these users, and members of these groups."""

    uids: frozenset[int]
    gids: frozenset[int]

    def allows(self, peer: Peer) -> bool:
        """Tell whether a peer may stay."""
        return peer.uid in self.uids or not self.gids.isdisjoint(peer.groups)


def make_rule(uids: Collection[int], gids: Collection[int]) -> PeerRule:
    """Build a rule; without any numbers it is what mode 0660 says: our user and our group."""
    if uids or gids:
        return PeerRule(frozenset(uids), frozenset(gids))
    return PeerRule(frozenset({os.geteuid()}), frozenset({os.getegid()}))


def read_peer(connection: socket.socket) -> Peer:
    """Ask the kernel. Raises ``OSError``."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        groups = b""
    supplementary = (each for (each,) in struct.iter_unpack("I", groups))
    return Peer(pid, uid, frozenset({gid, *supplementary}))


def may_descend_from(pid: int, ancestor: int) -> bool:
    """Tell whether a process is, or could be, a child of ``ancestor``, or a child's child.

    What can't be told counts as one: a process that has ended may have left its connection to
    another. A process of another PID namespace (0) is none, for children are always seen from
    the namespace of their parents. Nor is one whom we may not even signal, where its parents
    are hidden from us: our children have our user.
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
    # The name stands in brackets and may hold any byte; state and parent follow.
    return int(stat.rpartition(b")")[2].split()[1])


def _is_anothers(pid: int) -> bool:
    """Tell whether a process is there and of another user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
