"""Checks the peers of a Unix socket in front of a server that can't check them itself.

grpcio accepts connections itself and does not expose their descriptors, so SO_PEERCRED can't be
read there. Here the connection is accepted, the peer is checked, and only then are its bytes
forwarded to grpcio. grpcio's own socket is in a folder that only this user may enter, and its
name is removed once it listens, because the workers run as the same user.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sidecar.common.faults import report_to_loop
from sidecar.common.private_file import anyone_may_replace
from sidecar.config import model
from sidecar.transport.inner_server import SOCKET, InnerServer
from sidecar.transport.peers import Peer, PeerRule, make_rule, may_descend_from, read_peer
from sidecar.transport.pipe import SocketPipe
from sidecar.transport.sockets import (
    ListenFault,
    accept,
    bind_unix,
    fresh_name,
    is_at,
    path_of,
    put_in_place,
    remove_own_socket,
    remove_stale_socket,
)

MAX_CONNECTIONS = 256
_BACKLOG = 128
_FOLDERS = ("d", "e")
"""Endings of the inner server's folder: one is a predecessor's that still runs."""
_log = logging.getLogger("sidecar.transport")


class SocketGuard:
    """Listens on ``path`` and forwards the connections of peers that ``rule`` allows.

    This process's own children are never allowed; ``is_child`` recognises them by PID.
    """

    def __init__(
        self,
        path: Path,
        rule: PeerRule,
        on_refused: Callable[[Peer], None],
        max_connections: int = MAX_CONNECTIONS,
        is_child: Callable[[int], bool] | None = None,
    ) -> None:
        self._path = path
        self._rule = rule
        self._on_refused = on_refused
        self._max_connections = max_connections
        self._is_child = is_child or partial(may_descend_from, ancestor=os.getpid())
        self._inner = InnerServer(str(path))
        self._inner.folder = path.with_name(f"{path.name}.{_FOLDERS[0]}")
        self._lock = -1
        self._inode = 0
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._pipes: set[SocketPipe] = set()

    @property
    def inner_address(self) -> str:
        """The address on which the inner server must listen, as grpcio writes it."""
        return self._inner.address

    def prepare(self) -> None:
        """Create the folder of the inner server's socket, and lock it. Raises ``ListenFault``.

        A predecessor that is being replaced still has one: then it is the other of the two.
        """
        self._unlock()
        for ending in _FOLDERS:
            self._inner.folder = self._path.with_name(f"{self._path.name}.{ending}")
            if self._make_folder():
                break
        else:
            raise ListenFault(
                f"{self._inner.folder} is another sidecar's, and so is the one beside it"
            )
        self._remove_abandoned()
        if anyone_may_replace(self._path.parent):
            _log.warning(
                "any user may replace sockets in %s: set its sticky bit, or change its owner",
                self._path.parent,
            )

    def _remove_abandoned(self) -> None:
        """Remove the other folder, where the process that had it was killed."""
        for ending in _FOLDERS:
            other = self._path.with_name(f"{self._path.name}.{ending}")
            if other == self._inner.folder:
                continue
            with contextlib.suppress(OSError):  # there is none, or it is locked, or not ours
                lock = os.open(other, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_stale_socket(other / SOCKET)
                    other.rmdir()
                finally:
                    os.close(lock)

    def _make_folder(self) -> bool:
        """Create the folder and lock it; return False if another process has it."""
        while True:
            try:
                with contextlib.suppress(FileExistsError):
                    self._inner.folder.mkdir(mode=0o700)
                found = self._inner.folder.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                    raise ListenFault(
                        f"{self._inner.folder} exists, but is not a folder that belongs to this "
                        "user: remove it"
                    )
                self._inner.folder.chmod(0o700)
                self._lock = os.open(
                    self._inner.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                )
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_at(self._lock, self._inner.folder):
                    return True
            except BlockingIOError:
                self._unlock()
                return False
            except OSError as exc:
                self._unlock()
                raise ListenFault(
                    f"the folder {self._inner.folder} can't be made: {exc.strerror}"
                ) from exc
            self._unlock()  # its owner has removed it in between: make it anew

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def start(self) -> None:
        """Start listening, after the inner server. Raises ``ListenFault``."""
        self._inner.take()
        bound = fresh_name(self._path)
        with contextlib.ExitStack() as opened:
            try:
                listener = opened.enter_context(bind_unix(bound))
                listener.listen(_BACKLOG)
                self._inode = put_in_place(bound, self._path)
            except OSError as exc:
                raise ListenFault(f"cannot listen on unix:{self._path}: {exc.strerror}") from exc
            opened.pop_all()
        self._listener = listener
        self._task = asyncio.create_task(self._accept(listener))

    async def stop(self) -> None:
        """Accept no new connections; existing ones remain until the inner server ends them."""
        if self._task is not None and self._listener is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._listener.close()
            remove_own_socket(self._path, self._inode)

    def close(self) -> None:
        """Close all connections, and remove the folder, after the inner server has stopped."""
        for pipe in tuple(self._pipes):
            pipe.end()
        self._inner.release()
        if self._lock >= 0:
            self._inner.remove_folder()
        self._unlock()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = await accept(listener)
            try:
                await self._take(connection)
            except Exception as exc:  # noqa: BLE001 - one connection's error must not stop the others
                connection.close()
                report_to_loop(exc)

    async def _take(self, connection: socket.socket) -> None:
        if self._lets_in(connection):
            await self._connect(connection)
        else:
            connection.close()

    def _lets_in(self, connection: socket.socket) -> bool:
        try:
            peer = read_peer(connection)
        except OSError:
            return False
        if not self._rule.allows(peer) or self._is_child(peer.pid):
            self._on_refused(peer)
            return False
        return len(self._pipes) < self._max_connections

    async def _connect(self, connection: socket.socket) -> None:
        """Connect a peer with the inner server; both sides buffer until both are connected."""
        loop = asyncio.get_running_loop()
        pipe = SocketPipe(self._pipes.discard)
        sockets = [connection]
        try:
            inner = await self._inner.connect()
            sockets.append(inner)
            self._pipes.add(pipe)
            await loop.connect_accepted_socket(lambda: pipe.sides[0], connection)
            await loop.connect_accepted_socket(lambda: pipe.sides[1], inner)
        except BaseException as exc:
            pipe.end()
            for each in sockets:
                each.close()
            if not isinstance(exc, OSError):
                raise
            # No descriptor left, or the inner server is not listening.
            _log.error("can't connect to the inner server of %s: %s", self._path, exc.strerror)


def make_guard(
    settings: model.SdsListen,
    on_refused: Callable[[Peer], None],
    max_connections: int = MAX_CONNECTIONS,
    is_child: Callable[[int], bool] | None = None,
) -> SocketGuard | None:
    """Return the guard of a Unix socket; ``None`` for TCP, whose peers have no credentials."""
    path = path_of(settings.address)
    if path is None:
        return None
    rule = make_rule(settings.peer_uids, settings.peer_gids)
    return SocketGuard(path, rule, on_refused, max_connections, is_child)
