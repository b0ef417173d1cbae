"""The guard when something fails: whoever is not known to be allowed gets nothing."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any, Self

import pytest

from sidecar.config import model
from sidecar.transport import guard as guards
from sidecar.transport import pipe, sockets
from sidecar.transport.guard import MAX_CONNECTIONS, SocketGuard, make_guard
from sidecar.transport.peers import Peer, PeerRule, make_rule
from sidecar.transport.sockets import ListenFault

EVERYBODY = make_rule((), ())


class Behind:
    """An echo behind a guard whose parts can be made to fail."""

    def __init__(self, folder: Path, max_connections: int = MAX_CONNECTIONS) -> None:
        self.path = folder / "s"
        self.refused: list[Peer] = []
        self.guard = SocketGuard(self.path, EVERYBODY, self.refused.append, max_connections)
        self.reached = 0

    async def __aenter__(self) -> Self:
        self.guard.prepare()
        inner = self.guard.inner_address.removeprefix("unix:")
        self.server = await asyncio.start_unix_server(self._echo, inner)
        self.guard.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.guard.stop()
        self.server.close()
        self.guard.close()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def says(self) -> bytes:
        """Send a byte; returns what comes back, nothing where the guard hangs up."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            writer.write(b"x")
            return await asyncio.wait_for(reader.read(1), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_a_peer_without_credentials_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: socket.socket) -> Peer:
        raise OSError("no such option")

    async with Behind(tmp_path) as behind:
        monkeypatch.setattr(guards, "read_peer", failing)
        assert await behind.says() == b""
        assert (behind.reached, behind.refused) == (0, [])
        monkeypatch.undo()
        assert await behind.says() == b"x"


async def test_connections_are_bounded_and_a_slot_becomes_free(tmp_path: Path) -> None:
    async with Behind(tmp_path, max_connections=1) as behind:
        reader, writer = await asyncio.open_unix_connection(str(behind.path))
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(1), 20) == b"x"
        assert await behind.says() == b""
        assert behind.refused == [], "who is allowed is not told of as refused"
        writer.close()
        while behind.guard._pipes:
            await asyncio.sleep(0.01)
        assert await behind.says() == b"x"


async def test_an_inner_server_that_is_gone_is_reported_and_the_peer_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Behind(tmp_path) as behind:
        behind.server.close()
        await behind.server.wait_closed()
        assert await behind.says() == b""
        assert "can't connect to the inner server" in caplog.text
        assert not behind.guard._pipes


@pytest.mark.parametrize("size", [0, 230_000, 4_194_304], ids=["idles", "lingers", "stalls"])
async def test_a_peer_that_reads_nothing_keeps_no_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The server behind hangs up. Whether or not that can be seen, the peer is cut off."""
    monkeypatch.setattr(pipe, "LINGER_SECONDS", 0.5)
    monkeypatch.setattr(pipe, "STALL_SECONDS", 0.5)
    behind = Behind(tmp_path)
    sent = asyncio.Event()

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(size))
        writer.close()
        sent.set()

    monkeypatch.setattr(behind, "_echo", pour)
    async with behind:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(behind.path))
            async with asyncio.timeout(20):
                await sent.wait()
                assert len(behind.guard._pipes) == 1, "its descriptors are counted"
                while behind.guard._pipes:
                    await asyncio.sleep(0.01)
            received = 0
            with contextlib.suppress(ConnectionError):
                while more := peer.recv(1_048_576):
                    received += len(more)
            assert received < max(size, 1)


async def test_a_successors_socket_stays(tmp_path: Path) -> None:
    async with Behind(tmp_path):
        successor = tmp_path / "s"
        successor.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(successor))
            inode = successor.stat().st_ino
    assert successor.stat().st_ino == inode


async def test_a_failed_accept_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(24, "Too many open files")] * 2

    async def flaky(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return await accept(listener)

    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pausing(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(loop, "sock_accept", flaky)
    monkeypatch.setattr("sidecar.transport.sockets.asyncio.sleep", pausing)
    async with Behind(tmp_path) as behind:
        assert await behind.says() == b"x"
    assert pauses == [sockets.ACCEPT_PAUSE_SECONDS] * 2, "no busy loop while nothing is free"
    assert caplog.text.count("could not be accepted") == 2
    assert failures == []


async def test_connections_live_on_when_it_stops_and_end_when_it_closes(tmp_path: Path) -> None:
    async with Behind(tmp_path) as behind:
        reader, writer = await asyncio.open_unix_connection(str(behind.path))
        for stop in (False, True):
            if stop:
                await behind.guard.stop()
            writer.write(b"x")
            assert await asyncio.wait_for(reader.read(1), 20) == b"x"
        behind.guard.close()
        assert await asyncio.wait_for(reader.read(1), 20) == b""
        writer.close()


async def test_where_it_cannot_listen_it_says_where(tmp_path: Path) -> None:
    guard = SocketGuard(tmp_path / "s", EVERYBODY, lambda _: None)
    guard.prepare()
    Path(guard.inner_address.removeprefix("unix:")).touch()
    (tmp_path / "s").write_text("not a socket")
    with pytest.raises(ListenFault, match=rf"cannot listen on unix:{tmp_path}/s: "):
        guard.start()
    assert (tmp_path / "s").read_text() == "not a socket"
    await guard.stop()
    guard.close()


async def test_the_rule_is_the_configured_one() -> None:
    settings = model.SdsListen(address="unix:/run/s", peer_uids=(101,), peer_gids=(102,))
    guard = make_guard(settings, lambda _: None)
    assert guard is not None
    assert guard._rule == PeerRule(frozenset({101}), frozenset({102}))
    assert guard.inner_address == "unix:/run/s.d/s"


def test_a_folder_that_was_open_is_shut(tmp_path: Path) -> None:
    room = tmp_path / "s.d"
    for prepared in (False, True):
        if prepared:
            room.chmod(0o777)
        before = os.umask(0)
        try:
            SocketGuard(tmp_path / "s", EVERYBODY, lambda _: None).prepare()
        finally:
            os.umask(before)
        assert room.stat().st_mode & 0o777 == 0o700
