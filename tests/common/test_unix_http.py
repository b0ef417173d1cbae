"""HTTP over a Unix socket: whatever the host is called, within the time-out."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.common.unix_http import UnixConnection


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        yield made


def connection_to(path: Path, seconds: float | None = None) -> UnixConnection:
    made = UnixConnection("vault.internal")
    if seconds is not None:
        made = UnixConnection("vault.internal", timeout=seconds)
    made.socket_path = str(path)
    return made


def test_a_request_goes_through_the_socket_with_the_hosts_name(
    tmp_path: Path, listener: socket.socket
) -> None:
    asked: list[bytes] = []

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            asked.append(peer.recv(65_536))
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=answer)
    thread.start()
    connection = connection_to(tmp_path / "s", 10)
    connection.request("GET", "/v1/sys/health")
    assert connection.getresponse().read() == b"ok"
    connection.close()
    thread.join()
    assert asked[0].startswith(b"GET /v1/sys/health HTTP/1.1\r\nHost: vault.internal\r\n")


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("seconds", [0.05, 7])
def test_the_time_out_is_the_sockets(tmp_path: Path, seconds: float) -> None:
    connection = connection_to(tmp_path / "s", seconds)
    connection.connect()
    assert connection.sock.gettimeout() == seconds
    connection.close()


@pytest.mark.usefixtures("listener")
def test_without_a_time_out_it_waits(tmp_path: Path) -> None:
    connection = connection_to(tmp_path / "s")
    connection.connect()
    assert connection.sock.gettimeout() is None
    connection.close()


def test_the_socket_is_known_before_it_is_connected(tmp_path: Path) -> None:
    """Who bounds the connection must know the socket when connecting takes long, or fails."""
    known: list[int] = []

    class Watched(UnixConnection):
        def opened(self) -> None:
            known.append(self.sock.fileno())

    connection = Watched("localhost", timeout=1)
    connection.socket_path = str(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        connection.connect()
    assert len(known) == 1
    connection.close()
