"""Addresses and sockets of listeners.

A Unix socket is bound under a fresh name beside its own, and renamed once it listens: there is no
moment at which a client finds none, or one that refuses, while a predecessor's is replaced.
"""

import asyncio
import contextlib
import errno
import glob
import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.common.errors import Fault

_LONG_NAME = 48
"""Bytes of a file's name that is used as it is in a fresh one."""


ACCEPT_PAUSE_SECONDS = 0.2
"""After an accept that failed: with no descriptor left the next would fail at once."""
_log = logging.getLogger("sidecar.transport")


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


def fresh_name(path: Path) -> Path:
    """Return a name beside ``path`` that nobody has."""
    return path.with_name(f"{_fresh_stem(path)}.{secrets.token_hex(4)}")


def _fresh_stem(path: Path) -> str:
    """Return what the fresh names of ``path`` begin with, short enough for ``bind_unix``."""
    name = path.name
    if len(os.fsencode(name)) > _LONG_NAME:
        name = f"{name[: _LONG_NAME // 4]}{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f".{name}"


def remove_abandoned(path: Path) -> None:
    """Remove sockets under fresh names of ``path``, whose process was killed before it listened."""
    for each in path.parent.glob(f"{glob.escape(_fresh_stem(path))}.{'?' * 8}"):
        with contextlib.suppress(OSError):
            remove_stale_socket(each)


def bind_unix(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Bind a Unix socket, which does not listen yet. Raises ``OSError``.

    Its folder's path may be longer than an address may be (108 bytes): it is bound through a
    descriptor of the folder.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _bound(socket.AF_UNIX, f"/proc/self/fd/{folder}/{path.name}", kind)
    finally:
        os.close(folder)


def put_in_place(bound: Path, path: Path) -> int:
    """Rename a socket that listens to its own name, and return its inode.

    It replaces another socket; any other file is kept. Raises ``OSError``, and removes it then.
    """
    inode = inode_of(bound)
    if path.exists() and not path.is_socket():
        remove_stale_socket(bound)
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    try:
        bound.rename(path)
    except OSError:
        remove_stale_socket(bound)
        raise
    return inode


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file, or folder, is the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


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


def open_listeners(address: str, *, joins: bool = False) -> list[socket.socket]:
    """Bind ``unix:/path``, or every address of the host in ``host:port``, without listening yet.

    With ``joins`` a port may have listeners that are shared (``ports``). Raises ``ListenFault``
    for an address that is in use or not this machine's.
    """
    with contextlib.ExitStack() as opened:
        try:
            listeners = [opened.enter_context(each) for each in _bind_all(address, joins=joins)]
        except OSError as exc:
            raise ListenFault(f"cannot listen on {address}: {exc.strerror}") from exc
        opened.pop_all()
    return listeners


def _bind_all(address: str, *, joins: bool) -> Iterator[socket.socket]:
    if (path := path_of(address)) is not None:
        remove_stale_socket(path)
        yield bind_unix(path)
        return
    host, port = split_address(address)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, where in dict.fromkeys((each[0], each[4]) for each in found):
        yield _bound(family, where, joins=joins)


def _bound(
    family: int, where: Any, kind: int = socket.SOCK_STREAM, *, joins: bool = False
) -> socket.socket:
    listener = socket.socket(family, kind)
    try:
        if family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(joins))
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


async def accept(listener: socket.socket) -> tuple[socket.socket, Any]:
    """Return the next connection and its peer's address; what fails is logged, and tried again."""
    while True:
        try:
            return await asyncio.get_running_loop().sock_accept(listener)
        except OSError as exc:  # no descriptor left, or the peer has closed already
            _log.warning("a connection could not be accepted: %s", exc.strerror)
            await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
