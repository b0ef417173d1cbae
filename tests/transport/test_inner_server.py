"""The socket behind a guard: reached through its descriptor alone, and gone afterwards."""

import socket
from pathlib import Path

import pytest

from sidecar.transport.inner_server import InnerServer
from sidecar.transport.sockets import ListenFault


async def test_it_is_reached_without_a_name_and_leaves_nothing(tmp_path: Path) -> None:
    inner = InnerServer("unix:/outer")
    inner.folder = tmp_path / "inner"
    inner.folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(inner.address.removeprefix("unix:"))
        server.listen()
        inner.take()
        assert list(inner.folder.iterdir()) == [], "no other process finds it"
        with await inner.connect() as ours, server.accept()[0] as theirs:
            ours.send(b"x")
            assert theirs.recv(1) == b"x"
    with pytest.raises(ConnectionRefusedError):
        await inner.connect()
    inner.release()
    inner.release()
    inner.remove_folder()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_listen_is_named_by_its_guard(tmp_path: Path) -> None:
    inner = InnerServer("unix:/outer")
    inner.folder = tmp_path
    with pytest.raises(ListenFault, match="inner server of unix:/outer is not listening"):
        inner.take()
    inner.release()


def test_a_socket_that_was_never_taken_goes_with_the_folder(tmp_path: Path) -> None:
    inner = InnerServer("unix:/outer")
    inner.folder = tmp_path / "inner"
    inner.folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(inner.address.removeprefix("unix:"))
    inner.remove_folder()
    assert not inner.folder.exists()
