"""Who is at the other end of a Unix socket: what the kernel says, and who may be there.

The kernel notes a process's identity when it connects (SO_PEERCRED, unix(7)); the peer can't
forge it. It proves the user and the groups the peer had at that moment, and not which
program it is: another process of Envoy's user passes, and so does whoever Envoy hands its
end to. Behind a user namespace the numbers are those of ours.
"""

import os
import socket
import struct
from collections.abc import Collection
from typing import NamedTuple

_UCRED = struct.Struct("3i")
_SO_PEERGROUPS = 59
"""Linux 4.13; Python has no name for it."""
_MAX_GROUPS_BYTES = 1024
"""What Python reads of an option: 256 groups. A peer with more counts with its own group alone."""


class Peer(NamedTuple):
    """The user and the groups of a peer when it connected; ``pid`` is for the log alone."""

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
