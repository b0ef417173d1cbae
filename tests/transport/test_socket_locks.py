"""One running sidecar per Unix socket, and a successor that asks for it by name."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.transport.socket_locks import SocketLocks
from sidecar.transport.sockets import ListenFault, fresh_name

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from sidecar.transport.socket_locks import SocketLocks
locks = SocketLocks([Path(sys.argv[1])])
locks.acquire()
print("held", flush=True)
sys.stdin.read()
locks.release()
"""


@contextmanager
def another(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock of a socket until its input ends."""
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(line, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(10)


def listed(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_second_one_is_refused_and_has_touched_nothing(tmp_path: Path) -> None:
    with another(tmp_path / "s") as first:
        before = {each: each.stat() for each in tmp_path.iterdir()}
        locks = SocketLocks([tmp_path / "free", tmp_path / "s"])
        with pytest.raises(ListenFault) as refused:
            locks.acquire()
        assert {each: each.stat() for each in tmp_path.iterdir()} == before
    assert f"unix:{tmp_path / 's'}: another sidecar (process {first.pid}) has it" in str(
        refused.value
    )
    assert "--take-over" in str(refused.value)
    assert listed(tmp_path) == []


def test_the_lock_of_a_killed_one_is_free_and_its_remains_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    file, other = tmp_path / ".s.12345678", tmp_path / ".t.12345678"
    with another(path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    assert listed(tmp_path) == ["s.lock"]
    with socket.socket(socket.AF_UNIX) as left, socket.socket(socket.AF_UNIX) as foreign:
        left.bind(str(fresh_name(path)))
        foreign.bind(str(other))
        file.touch()  # no socket: nobody's business
        locks = SocketLocks([path])
        locks.acquire()
    assert listed(tmp_path) == [file.name, other.name, "s.lock"]
    assert (tmp_path / "s.lock").read_text() == f"{os.getpid()}\n"
    locks.release()
    assert listed(tmp_path) == [file.name, other.name]


def test_a_successor_that_asks_takes_it_over_and_each_removes_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with another(path):
        successor = SocketLocks([path], take_over=True)
        successor.acquire()
        with pytest.raises(ListenFault):  # until it is taken over, it is the first one's
            SocketLocks([path]).acquire()
        successor.replace()
        with pytest.raises(ListenFault, match=f"process {os.getpid()}"):
            SocketLocks([path]).acquire()
    assert listed(tmp_path) == ["s.lock"], "the first has ended, and left the successor's"
    with pytest.raises(ListenFault, match=f"process {os.getpid()}"):
        SocketLocks([path]).acquire()
    successor.release()
    assert listed(tmp_path) == []


def test_a_successor_that_fails_before_it_listens_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with another(path) as first:
        successor = SocketLocks([path], take_over=True)
        successor.acquire()
        successor.release()
        with pytest.raises(ListenFault, match=f"process {first.pid}"):
            SocketLocks([path]).acquire()


def test_with_nobody_there_to_take_it_from_it_is_an_ordinary_lock(tmp_path: Path) -> None:
    locks = SocketLocks([tmp_path / "s"], take_over=True)
    locks.acquire()
    with pytest.raises(ListenFault):
        SocketLocks([tmp_path / "s"]).acquire()
    locks.replace()
    locks.release()
    assert listed(tmp_path) == []


def test_one_that_is_removed_while_it_is_opened_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends removes its file: a lock on that file would be nobody's to find."""
    flock, file = fcntl.flock, tmp_path / "s.lock"
    locked: list[int] = []

    def lock_late(descriptor: int, how: int) -> None:
        if not locked:
            file.unlink()
        locked.append(descriptor)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    locks = SocketLocks([tmp_path / "s"])
    locks.acquire()
    with pytest.raises(ListenFault):
        SocketLocks([tmp_path / "s"]).acquire()
    locks.release()


@pytest.mark.parametrize("harm", ["no folder", "a link", "a folder"])
def test_a_lock_that_can_not_be_made_is_a_fault_that_names_the_socket(
    tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "sub" / "s" if harm == "no folder" else tmp_path / "s"
    if harm == "a link":
        (tmp_path / "elsewhere").write_text("theirs")
        (tmp_path / "s.lock").symlink_to(tmp_path / "elsewhere")
    elif harm == "a folder":
        (tmp_path / "s.lock").mkdir()
    with pytest.raises(ListenFault, match=f"cannot listen on unix:{path}: its lock: "):
        SocketLocks([path]).acquire()
    if harm == "a link":
        assert (tmp_path / "elsewhere").read_text() == "theirs"


def test_the_same_socket_twice_is_one(tmp_path: Path) -> None:
    locks = SocketLocks([tmp_path / "s", tmp_path / "s"])
    locks.acquire()
    locks.release()
