"""Two sidecars on the same Unix sockets: the second is refused, unless it asks to take over."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import grpc
import pytest

from demo.process import ManagedProcess
from sidecar.cli.admin_client import AdminFault, request_admin
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import check_request
from tests.runtime.started import NAMES, command, environment, run_source
from tests.support.waiting import wait_until

STARTS = int(os.environ.get("STARTS", "3"))
"""Starts and stops in a row; more with STARTS=30."""
LEFT = """
import os, signal, subprocess, sys, tempfile
starts, folder, temporary = int(sys.argv[1]), sys.argv[2], tempfile.mkdtemp()
mount = ["mount", "-t", "tmpfs", "none", "/dev/shm"]
subprocess.run(mount, check=True)
environment = {**os.environ, "TMPDIR": temporary}
codes = []
for number in range(starts):
    pipe = subprocess.PIPE
    with subprocess.Popen(sys.argv[3:], stderr=pipe, text=True, env=environment) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if "serving Checks" in line:
                # The last one is stopped; what those before leave when killed, it removes.
                killed = number % 2 and number < starts - 1
                process.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
    codes.append(process.returncode)
    if process.returncode not in (0, -9):
        sys.exit("".join(said))
while True:  # workers of a killed one end by themselves; they are ours, as the first process
    try:
        pid, _ = os.waitpid(-1, 0)
    except ChildProcessError:
        break
left = [each for each in (folder, temporary, "/dev/shm") if os.listdir(each)]
others = [each for each in os.listdir("/proc") if each.isdigit() and int(each) != os.getpid()]
print(codes.count(0) + codes.count(-9), left, others)
"""


@contextmanager
def serving(path: Path, *more: str) -> Iterator[ManagedProcess]:
    with ManagedProcess("sidecar", list(command(path, *more))) as process:
        process.wait_until(lambda: any("serving Checks" in line for line in process.lines), 30)
        yield process


def inodes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_ino for name in NAMES}


def ask(folder: Path, worker: int = 0) -> bytes:
    with grpc.insecure_channel(f"unix:{folder}/authz-{worker}") as channel:
        answer: bytes = channel.unary_unary(CHECK_METHOD)(check_request(path="/x"), timeout=5)
    return answer


def ready(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(folder / "admin"))
        peer.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return peer.recv(100).startswith(b"HTTP/1.1 200")


class Knocking:
    """Connects to every socket over and over; ``refused`` are the times that nobody listened."""

    def __init__(self, folder: Path) -> None:
        self.refused: list[str] = []
        self.times = 0
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.002):
            for name in NAMES:
                self.times += 1
                with socket.socket(socket.AF_UNIX) as peer:
                    try:
                        peer.connect(str(self._folder / name))
                    except OSError as exc:
                        self.refused.append(f"{name}: {exc.strerror}")


@pytest.mark.real
def test_a_second_is_refused_and_a_successor_takes_over_without_a_gap(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with serving(whole) as first:
        before = inodes(folder)
        done = subprocess.run(
            command(whole), capture_output=True, text=True, check=False, env=environment()
        )
        assert done.returncode == 1
        assert f"another sidecar (process {first.pid}) has it" in done.stderr
        assert len(done.stderr.splitlines()) <= 2, "nothing else was begun"
        assert inodes(folder) == before

        away = tmp_path / "away.yaml"
        text = whole.read_text()
        (vault,) = (line for line in text.splitlines() if line.startswith("vault:"))
        away.write_text(
            text.replace(vault, vault.replace("http://127.0.0.1:", "http://127.9.9.9:"))
        )
        failed = subprocess.run(
            command(away, "--take-over"),
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert failed.returncode == 1
        assert "cannot be reached" in failed.stderr
        assert inodes(folder) == before, "a successor that can't start harms nobody"

        with Knocking(folder) as knocking, serving(whole, "--take-over"):
            after = inodes(folder)
            assert not set(before.values()) & set(after.values())
            assert first.stop() == 0
            assert inodes(folder) == after, "the first has removed only what was its own"
            wait_until(lambda: ready(folder))
            assert all(b"token_missing" in ask(folder, worker) for worker in (0, 1))
            times = knocking.times
            wait_until(lambda: knocking.times > times + len(NAMES))
            knocking.stop()
    assert knocking.refused == []
    assert list(folder.iterdir()) == []


@pytest.mark.real
def test_a_restart_takes_the_sockets_over_without_a_gap_and_may_be_ended_in_the_middle(
    whole: Path, tmp_path: Path
) -> None:
    folder, text = tmp_path / "run", whole.read_text()

    def restart(drain_seconds: float) -> str:
        whole.write_text(text.replace("drain_seconds: 0.2", f"drain_seconds: {drain_seconds}"))
        allowed = b'{"allow_restart": true}'
        admin = f"unix:{folder}/admin"
        # Checks are served before certificates have come, and reloads from then on.
        wait_until(lambda: request_admin(admin, "GET", "/readyz")[0] == 200, 30)
        return str(request_admin(admin, "POST", "/config/reload", body=allowed)[1]["result"])

    with serving(whole) as sidecar:
        before, pid = inodes(folder), sidecar.pid
        with Knocking(folder) as knocking:
            assert restart(0.3) == "restarted"
            assert not set(before.values()) & set(inodes(folder).values())
            wait_until(lambda: ready(folder))
            assert all(b"token_missing" in ask(folder, worker) for worker in (0, 1))
            knocking.stop()
        assert knocking.refused == []
        second = subprocess.run(
            command(whole), capture_output=True, text=True, check=False, env=environment()
        )
        assert f"another sidecar (process {pid}) has it" in second.stderr
        ended = threading.Thread(target=suppressed, args=(restart, 0.4))
        ended.start()
        wait_until(lambda: len(children(pid)) > 2)  # the successor starts its workers
        assert sidecar.stop() == 0
        ended.join()
    assert list(folder.iterdir()) == []
    said = "".join(sidecar.lines)
    assert "a bug in the sidecar" not in said
    assert "never retrieved" not in said


def suppressed(restart: Callable[[float], str], drain_seconds: float) -> None:
    with contextlib.suppress(AdminFault):  # the sidecar ends while it is asked
        restart(drain_seconds)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.real
def test_starts_and_stops_in_a_row_leave_nothing(whole: Path, tmp_path: Path) -> None:
    """Sockets, locks, shared memory, temporary files, processes: killed ones' too."""
    words = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]
    before = [*words, "--mount-proc", "--kill-child"]
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets no ordinary user make a PID namespace")
    done = run_source(LEFT, STARTS, tmp_path / "run", *command(whole), before=before)
    assert done.stdout == f"{STARTS} [] []\n", done.stderr
