"""Addresses, and sockets that belong to this process or to a successor."""

import socket
import stat
from pathlib import Path

import pytest

from sidecar.transport.sockets import (
    ListenFault,
    inode_of,
    open_listeners,
    path_of,
    remove_own_socket,
    remove_stale_socket,
    split_address,
)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:0", "::1", 0),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_host_and_port(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    ("address", "path"), [("unix:/run/s.sock", Path("/run/s.sock")), ("127.0.0.1:80", None)]
)
def test_only_a_unix_socket_has_a_path(address: str, path: Path | None) -> None:
    assert path_of(address) == path


def bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    return listener


def test_a_stale_socket_is_removed_and_any_other_file_is_kept(tmp_path: Path) -> None:
    path, file = tmp_path / "s", tmp_path / "file"
    file.touch()
    with bound(path):
        remove_stale_socket(path)
    remove_stale_socket(file)
    remove_stale_socket(tmp_path / "nothing")
    assert (path.exists(), file.exists()) == (False, True)


def test_only_our_own_socket_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert inode_of(path) == 0
    with bound(path):
        inode = inode_of(path)
        remove_own_socket(path, inode + 1)
        assert path.exists(), "a successor's"
        remove_own_socket(path, inode)
        assert not path.exists()
        remove_own_socket(path, inode)


def test_a_unix_socket_replaces_a_stale_one_and_does_not_listen_yet(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bound(path).close()
    (listener,) = open_listeners(f"unix:{path}")
    with listener, socket.socket(socket.AF_UNIX) as peer:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert listener.getblocking() is False
        with pytest.raises(ConnectionRefusedError):
            peer.connect(str(path))


def test_every_address_of_a_host_once() -> None:
    listeners = open_listeners("localhost:0")
    addresses = [each.getsockname()[0] for each in listeners]
    for each in listeners:
        each.close()
    assert "127.0.0.1" in addresses
    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize(
    ("address", "message"),
    [("192.0.2.1:1", "cannot listen on 192.0.2.1:1: "), ("unix:/nowhere/s", "No such file")],
)
def test_an_address_of_another_machine_is_a_fault(address: str, message: str) -> None:
    with pytest.raises(ListenFault, match=message):
        open_listeners(address)


def test_an_address_in_use_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ListenFault, match="in use"):
            open_listeners(address)
