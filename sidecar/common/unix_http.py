"""HTTP/1.1 over a Unix socket, for ``http.client`` and what is built on it."""

import socket
from http.client import HTTPConnection


class UnixConnection(HTTPConnection):
    """A connection to the socket at ``socket_path``, whatever its host is called."""

    socket_path = ""

    def connect(self) -> None:
        """Connect, within the connection's time-out if it has one."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if isinstance(self.timeout, int | float):
            self.sock.settimeout(self.timeout)
        self.opened()
        self.sock.connect(self.socket_path)

    def opened(self) -> None:
        """Take note of ``sock``, which is about to be connected; for who bounds that."""
