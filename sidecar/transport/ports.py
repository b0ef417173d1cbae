"""Hands TCP ports over to a successor, so that no connection is refused or reset meanwhile.

A port belongs to one listener (a second sidecar is refused), except while an overlapping restart
lasts: the running listeners are shared (``SO_REUSEPORT``, socket(7)), the successor's join them
and take every new connection from then on (a filter that always names the newest listener), and
the predecessor's accept what has reached them before they close. Unix sockets need none of it:
they are renamed (``sockets``).
"""

import contextlib
import ctypes
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from contextvars import ContextVar

_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68
_BPF_RETURN = 0x06
"""``BPF_RET | BPF_K``: the filter's only instruction returns a number."""
_NEWEST_OF_TWO = 1
_MAX_DESCRIPTOR = 4096
"""Listeners are opened early in the life of a process, and descriptors are given from below."""

JOINS = ContextVar("joins", default=False)
"""Whether what listens in this context joins listeners that are shared: a successor's."""


def listening() -> Iterator[socket.socket]:
    """Yield a duplicate of every listening TCP socket of this process, closed after its turn."""
    for descriptor in range(_MAX_DESCRIPTOR):
        found = _duplicate(descriptor)
        if found is not None:
            with found:
                if found.family != socket.AF_UNIX and _listens(found):
                    yield found


def _duplicate(descriptor: int) -> socket.socket | None:
    """Return a duplicate of a socket; ``None`` for what is none, or is only its name (O_PATH)."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None


def _listens(found: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    return False


def marks() -> frozenset[int]:
    """Return what the listening TCP sockets of this process are known by: their inodes."""
    return frozenset(os.fstat(each.fileno()).st_ino for each in listening())


def share(*, shared: bool, besides: Iterable[int] = ()) -> None:
    """Let others join this process's listening TCP sockets, or none any more.

    ``besides`` are inodes of those that are left as they are.
    """
    kept = frozenset(besides)
    for each in listening():
        if os.fstat(each.fileno()).st_ino not in kept:
            share_socket(each, shared=shared)


def share_socket(listener: socket.socket, *, shared: bool) -> None:
    """Let others join one listening socket, or none any more."""
    if listener.family == socket.AF_UNIX:
        return
    if not shared:
        with contextlib.suppress(OSError):  # nothing was attached
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))


def take_new_connections(listeners: Iterable[socket.socket]) -> None:
    """Give every new connection to these listeners, and none to those that they have joined.

    Where there is none to take from, it changes nothing; nor where a listener is shared no more.
    One whose sharing ended before it listened is in no group, for which the kernel has a filter.
    """
    instruction = ctypes.create_string_buffer(
        struct.pack("HBBI", _BPF_RETURN, 0, 0, _NEWEST_OF_TWO)
    )
    program = struct.pack("@HP", 1, ctypes.addressof(instruction))
    for each in listeners:
        if each.family != socket.AF_UNIX and _is_shared(each):
            each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


def _is_shared(listener: socket.socket) -> bool:
    return listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0


def take_over(before: Iterable[int]) -> None:
    """Give every new connection to the listeners of this process that are not among ``before``."""
    known = frozenset(before)
    for each in listening():
        if os.fstat(each.fileno()).st_ino not in known:
            take_new_connections([each])
