"""An application that answers byte for byte what a test wrote for a path, or does worse."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket, bytes], None]
"""Given the connection and the head of a request; what it leaves open is closed after it."""
_SECONDS = 30.0


def read_head(connection: socket.socket) -> bytes:
    """Read up to the end of a request's head; what follows it comes along."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65_536)
        if not received:
            return b""
        head += received
    return head


def answers(raw: bytes) -> Script:
    """Answer with these bytes."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(raw)

    return script


@contextmanager
def serving(scripts: dict[str, Script]) -> Iterator[int]:
    """Serve HTTP/1.1 on a free port, one request a connection; the script goes by the path."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(_SECONDS)
            head = read_head(connection)
            if head:
                scripts[head.split(b" ")[1].decode()](connection, head)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
