"""The server behind a guard: on a Unix socket that only the guard can reach.

grpcio and the small HTTP server listen themselves, so they are given a socket in a folder that only
this user may enter. Once they listen the guard opens the socket and removes its name: the workers
run as the same user.
"""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from sidecar.transport.sockets import ListenFault, remove_stale_socket

SOCKET = "s"


class InnerServer:
    """The socket of one inner server; ``guarded`` is the guard's own address, for messages."""

    def __init__(self, guarded: str) -> None:
        self._guarded = guarded
        self._descriptor = -1
        self.folder = Path()
        """The socket's folder, which the guard makes."""

    @property
    def address(self) -> str:
        """The address on which the inner server must listen, as grpcio writes it."""
        return f"unix:{self._path}"

    @property
    def _path(self) -> Path:
        return self.folder / SOCKET

    def take(self) -> None:
        """Open the socket, on which the server listens, and remove its name.

        Raises ``ListenFault``.
        """
        try:
            self._descriptor = os.open(self._path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._path.unlink()
        except OSError as exc:
            raise ListenFault(
                f"the inner server of {self._guarded} is not listening: {exc.strerror}"
            ) from exc

    async def connect(self) -> socket.socket:
        """Return a connection with the server. Raises ``OSError``."""
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inner.setblocking(False)
            where = f"/proc/self/fd/{self._descriptor}"
            await asyncio.get_running_loop().sock_connect(inner, where)
        except BaseException:
            inner.close()
            raise
        return inner

    def release(self) -> None:
        """Close the socket, after the server has stopped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove_folder(self) -> None:
        """Remove the folder, and the socket if the server was never taken."""
        with contextlib.suppress(OSError):
            remove_stale_socket(self._path)
            self.folder.rmdir()
