"""Addresses and sockets of listeners."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.common.errors import Fault


class ListenFault(Fault):
    """An address can't be listened on."""


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port``, without the brackets of an IPv6 literal."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def path_of(address: str) -> Path | None:
    """Return the path of ``unix:/path``, ``None`` for any other address."""
    return Path(address.removeprefix("unix:")) if address.startswith("unix:") else None


def remove_stale_socket(path: Path) -> None:
    """Remove the socket of a process that was killed; any other file is kept."""
    if path.is_socket():
        path.unlink()


def inode_of(path: Path) -> int:
    """Return the inode of a socket, which a successor's does not have; 0 where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def remove_own_socket(path: Path, inode: int) -> None:
    """Remove our socket, unless a successor has put its own in that place. Never raises."""
    with contextlib.suppress(OSError):
        if path.stat().st_ino == inode:
            path.unlink()


def open_listeners(address: str) -> list[socket.socket]:
    """Bind ``unix:/path``, or every address of the host in ``host:port``, without listening yet.

    Raises ``ListenFault`` for an address that is in use or not this machine's.
    """
    with contextlib.ExitStack() as opened:
        try:
            listeners = [opened.enter_context(each) for each in _bind_all(address)]
        except OSError as exc:
            raise ListenFault(f"cannot listen on {address}: {exc.strerror}") from exc
        opened.pop_all()
    return listeners


def _bind_all(address: str) -> Iterator[socket.socket]:
    if (path := path_of(address)) is not None:
        remove_stale_socket(path)
        yield _bound(socket.AF_UNIX, str(path))
        return
    host, port = split_address(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, where in dict.fromkeys((each[0], each[4]) for each in found):
        yield _bound(family, where)


def _bound(family: int, where: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener
