"""A DNS server that answers as no real one does on demand: not at all, with garbage, for ever."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from demo.process import free_ports

Reply = Callable[[bytes], list[bytes]]
"""From a query to the datagrams that answer it."""


@contextmanager
def odd_dns(
    over_udp: Reply, over_tcp: Callable[[socket.socket], None] | None = None
) -> Iterator[int]:
    """Serve on 127.0.0.1; yield the port. ``over_tcp`` gets every connection."""
    port = free_ports(1)[0]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    tcp = socket.create_server(("127.0.0.1", port))
    opened = [udp, tcp]

    def serve_udp() -> None:
        with suppress(OSError):
            while True:
                query, client = udp.recvfrom(65_535)
                if client is None:  # it is shut down
                    return
                for each in over_udp(query):
                    udp.sendto(each, client)

    def serve_tcp() -> None:
        with suppress(OSError):
            while True:
                connection, _ = tcp.accept()
                opened.append(connection)
                with connection, suppress(OSError):
                    if over_tcp is not None:
                        over_tcp(connection)

    threads = [threading.Thread(target=each, daemon=True) for each in (serve_udp, serve_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield port
    finally:
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join(5)


def trickle(connection: socket.socket) -> None:
    """Announce a long message, and send a byte of it now and then."""
    stop = threading.Event()
    connection.sendall(b"\xff\xff")
    while not stop.wait(0.1):
        connection.sendall(b"x")
