"""Who may fetch secrets over a Unix socket: the kernel's word is asked, and bytes pass whole."""

import asyncio
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.config import model
from sidecar.sds.metrics import SdsMetrics
from sidecar.transport.guard import SocketGuard, make_guard
from sidecar.transport.peers import Peer, PeerRule, make_rule
from sidecar.transport.sockets import ListenFault
from tests.support.other_users import NOBODY, as_nobody
from tests.support.waiting import until

STRANGER = (4_000_000, 4_000_001)


class Guarded:
    """An echo behind a guard."""

    def __init__(
        self,
        folder: Path,
        rule: PeerRule,
        max_connections: int = 8,
        is_child: Callable[[int], bool] | None = None,
    ) -> None:
        self.path = folder / "s.sock"
        self.refused: list[Peer] = []
        self.guard = SocketGuard(self.path, rule, self.refused.append, max_connections, is_child)
        self.reached = 0
        self.server: asyncio.Server

    async def start(self) -> None:
        self.guard.prepare()
        inner = self.guard.inner_address.removeprefix("unix:")
        self.server = await asyncio.start_unix_server(self._echo, inner)
        self.guard.start()

    async def stop(self) -> None:
        await self.guard.stop()
        self.server.close()
        self.guard.close()
        await asyncio.sleep(0)

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Guarded]:
    guarded = Guarded(tmp_path, make_rule((), ()))
    await guarded.start()
    yield guarded
    await guarded.stop()


async def test_bytes_are_forwarded_whole_both_ways(ours: Guarded) -> None:
    """More than sockets hold, to a peer that begins late to read."""
    reader, writer = await asyncio.open_unix_connection(str(ours.path))
    sent = os.urandom(3_000_000)

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.1)
    received = await asyncio.wait_for(reader.readexactly(len(sent)), 10)
    await sending
    assert received == sent
    assert await asyncio.wait_for(reader.read(), 5) == b"", "the end comes through too"
    writer.close()


async def test_a_peer_that_leaves_is_forgotten(ours: Guarded) -> None:
    for _ in range(20):
        reader, writer = await asyncio.open_unix_connection(str(ours.path))
        writer.write(b"x")
        assert await asyncio.wait_for(reader.read(1), 5) == b"x"
        writer.close()
    await until(lambda: not ours.guard._pipes)
    assert ours.reached == 20


async def test_a_peer_that_is_not_allowed_is_closed_and_reaches_nothing(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, make_rule(STRANGER[:1], STRANGER[1:]))
    await guarded.start()
    reader, writer = await asyncio.open_unix_connection(str(guarded.path))
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert guarded.reached == 0
    assert [(peer.pid, peer.uid) for peer in guarded.refused] == [(os.getpid(), os.geteuid())]
    await guarded.stop()


SAY = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
except OSError as exc:
    raise SystemExit(print(type(exc).__name__))
try:
    connection.sendall(b"x")
    print(connection.recv(1).decode() or "closed")
except OSError:
    print("closed")
"""


async def says_nobody(path: str, *groups: str) -> str:
    """What a process of the user nobody meets at a socket."""
    command = [*as_nobody(*groups), "-S", "-c", SAY, path]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=20, check=False
    )
    return str(done.stdout.strip())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="septem-guard-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_another_user_by_number_by_group_and_not(open_folder: Path) -> None:
    as_nobody()  # or skipped, before anything is started
    for rule, groups, said in (
        (make_rule((), ()), (), "closed"),
        (make_rule((NOBODY,), ()), (), "x"),
        (make_rule((), (4_000_001,)), (), "closed"),
        (make_rule((), (4_000_001,)), ("4000001",), "x"),
    ):
        # It is a child of the tests.
        guarded = Guarded(open_folder, rule, is_child=lambda _pid: False)
        await guarded.start()
        guarded.path.chmod(0o666)
        assert await says_nobody(str(guarded.path), *groups) == said
        inner = guarded.guard.inner_address.removeprefix("unix:")
        assert await says_nobody(inner) == "PermissionError", "no way around the guard"
        await guarded.stop()


BY_A_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-S", "-c", {SAY!r}, sys.argv[1]], check=True)
"""


@pytest.mark.parametrize("program", [SAY, BY_A_CHILD], ids=["a child", "a child of a child"])
async def test_no_child_of_this_process_is_allowed(ours: Guarded, program: str) -> None:
    command = [sys.executable, "-S", "-c", program, str(ours.path)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == "closed"
    assert ours.reached == 0
    assert len(ours.refused) == 1


async def test_the_server_behind_has_no_name_for_our_own_user(ours: Guarded) -> None:
    inner = Path(ours.guard.inner_address.removeprefix("unix:"))
    assert list(inner.parent.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        await asyncio.open_unix_connection(str(inner))


async def test_the_folder_behind_is_ours_alone_and_goes_with_us(ours: Guarded) -> None:
    room = Path(ours.guard.inner_address.removeprefix("unix:")).parent
    assert stat.S_IMODE(room.stat().st_mode) == 0o700
    await ours.stop()
    assert list(room.parent.iterdir()) == []


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "s.sock.d").symlink_to(elsewhere)
    guard = SocketGuard(tmp_path / "s.sock", make_rule((), ()), lambda _: None)
    with pytest.raises(ListenFault, match="not a folder that belongs to this user"):
        guard.prepare()


def test_a_folder_of_somebody_else_is_in_the_way(tmp_path: Path) -> None:
    """Its owner could put a socket of their own where the guard leads."""
    path = tmp_path / "s"
    if os.geteuid() == 0:
        room = tmp_path / "s.d"
        room.mkdir(mode=0o777)
        os.chown(room, NOBODY, NOBODY)
    else:
        path, room = Path("/etc/init"), Path("/etc/init.d")
    mode = room.stat().st_mode
    with pytest.raises(ListenFault, match="not a folder that belongs to this user"):
        SocketGuard(path, make_rule((), ()), lambda _: None).prepare()
    assert room.stat().st_mode == mode, "and it is left as it was"


def test_a_file_of_ours_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "s.sock.d").write_text("mine")
    with pytest.raises(ListenFault, match="not a folder that belongs to this user"):
        SocketGuard(tmp_path / "s.sock", make_rule((), ()), lambda _: None).prepare()
    assert (tmp_path / "s.sock.d").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ListenFault, match=r"the folder .*s\.sock\.d can.t be made: No such file"):
        SocketGuard(tmp_path / "none" / "s.sock", make_rule((), ()), lambda _: None).prepare()


async def test_what_a_killed_process_left_is_used_again(tmp_path: Path) -> None:
    left = Guarded(tmp_path, make_rule((), ()))
    left.guard.prepare()
    again = Guarded(tmp_path, make_rule((), ()))
    await again.start()
    await again.stop()


def test_a_folder_where_anyone_may_replace_the_socket_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for mode, told in ((0o777, 1), (0o1777, 0), (0o755, 0)):
        caplog.clear()
        tmp_path.chmod(mode)
        guard = SocketGuard(tmp_path / "s.sock", make_rule((), ()), lambda _: None)
        guard.prepare()
        guard.close()
        assert len(caplog.records) == told
    tmp_path.chmod(0o700)


def test_a_successor_has_a_folder_of_its_own_and_each_removes_its_own(tmp_path: Path) -> None:
    rule = make_rule((), ())
    first, second, third = (SocketGuard(tmp_path / "s", rule, lambda _: None) for _ in range(3))
    (tmp_path / "s.d").mkdir()  # of one that was killed
    first.prepare()
    second.prepare()
    assert [each.inner_address for each in (first, second)] == [
        f"unix:{tmp_path}/s.d/s",
        f"unix:{tmp_path}/s.e/s",
    ]
    with pytest.raises(ListenFault, match="is another sidecar's"):
        third.prepare()
    third.close()
    first.close()
    assert [each.name for each in tmp_path.iterdir()] == ["s.e"]
    third.prepare()
    second.close()
    assert [each.name for each in tmp_path.iterdir()] == ["s.d"]
    third.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_successor_that_was_killed_goes_with_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "s.e"
    folder.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "s"))
    guard = SocketGuard(tmp_path / "s", make_rule((), ()), lambda _: None)
    guard.prepare()
    assert not folder.exists()
    guard.close()
    folder.mkdir(0o700)
    (folder / "file").write_text("somebody's")
    guard.prepare()
    assert (folder / "file").exists(), "what is not ours is left alone"
    guard.close()


def test_only_a_unix_socket_has_a_guard() -> None:
    assert make_guard(model.SdsListen(address="127.0.0.1:9101"), lambda _: None) is None
    assert make_guard(model.SdsListen(address="unix:/run/s.sock"), lambda _: None) is not None


@contextmanager
def room_for(descriptors: int) -> Iterator[None]:
    """Let this process open so many more files, and no further one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(len(taken) + 8) if number not in taken]
    # Whatever is freed meanwhile is below the limit too: fill what is there first.
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[descriptors], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("descriptors", [0, 1, 2])
async def test_without_a_descriptor_a_connection_ends_and_the_next_is_taken(
    ours: Guarded, descriptors: int
) -> None:
    """To accept takes one, to reach the server behind another, and the server one of its own."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.setblocking(False)
        with room_for(descriptors):
            peer.connect(str(ours.path))
            await asyncio.sleep(0.5)
    await asyncio.sleep(0.3)
    reader, writer = await asyncio.open_unix_connection(str(ours.path))
    writer.write(b"again")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"again"
    writer.close()


async def test_connections_are_bounded(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, make_rule((), ()), max_connections=2)
    await guarded.start()
    opened = [await asyncio.open_unix_connection(str(guarded.path)) for _ in range(5)]
    for reader, _ in opened[2:]:
        assert await asyncio.wait_for(reader.read(), 5) == b""
    for reader, writer in opened[:2]:
        writer.write(b"x")
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"x"
    assert guarded.reached == 2
    for _, writer in opened:
        writer.close()
    await guarded.stop()


def test_repeated_refusals_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers = SdsMetrics()
    for _ in range(1000):
        numbers.refuse_peer(Peer(1, 2, frozenset()))
    assert len(caplog.records) == 10
    assert "512 denied by now" in caplog.records[-1].message
