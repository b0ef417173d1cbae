"""Addresses, and sockets that belong to this process or to a successor."""

import socket
import stat
from pathlib import Path

import pytest

from sidecar.transport.sockets import (
    ListenFault,
    bind_unix,
    fresh_name,
    inode_of,
    is_at,
    open_listeners,
    path_of,
    put_in_place,
    remove_abandoned,
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


def test_a_socket_that_listens_replaces_a_predecessors_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = bound(path)
    fresh = fresh_name(path)
    with before, bind_unix(fresh) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.listen()
        inode = put_in_place(fresh, path)
        assert inode == inode_of(path)
        assert list(tmp_path.iterdir()) == [path]
        peer.connect(str(path))
        listener.accept()[0].close()


@pytest.mark.parametrize("harm", ["a file", "no folder"])
def test_what_is_no_socket_is_not_replaced(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "s" if harm == "a file" else tmp_path / "sub" / "s"
    if harm == "a file":
        path.write_text("mine")
    fresh = fresh_name(tmp_path / "s")
    with bind_unix(fresh), pytest.raises(OSError, match=r"in use|No such"):
        put_in_place(fresh, path)
    assert not fresh.exists()
    assert harm == "no folder" or path.read_text() == "mine"


@pytest.mark.parametrize("name", ["s", "s" * 200, "ü" * 48, "🚪" * 60, "[a]*?"])
def test_a_fresh_name_can_be_bound_however_long_its_path_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / ("f" * 120)
    folder.mkdir()
    path = folder / name
    fresh = fresh_name(path)
    assert fresh != fresh_name(path)
    with bind_unix(fresh):
        remove_abandoned(folder / f"{name}x")
        assert fresh.is_socket(), "another socket's"
        remove_abandoned(path)
        assert not fresh.exists()


def test_an_open_file_is_told_from_another_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("w") as file:
        assert is_at(file.fileno(), path)
        path.rename(tmp_path / "g")
        assert not is_at(file.fileno(), path)
        path.touch()
        assert not is_at(file.fileno(), path)
