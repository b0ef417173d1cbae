"""What a process that was taken over might try, each with what comes of it: a word.

Run within the process that is tried: ``attempts(...)`` returns ``{name: outcome}``, where the
outcome is ``done``, or the name of the error. It needs the standard library alone.
"""

import ctypes
import errno
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_SEIZE = 0x4206
"""Traces and does not stop."""


def attempts(target: dict[str, Any]) -> dict[str, str]:
    """Try everything against ``target``: pid, token_file, folder, sds, inner, port."""
    pid = int(target["pid"])
    folder = Path(target["folder"])
    table: dict[str, Callable[[], object]] = {
        "read the token file": lambda: Path(target["token_file"]).read_bytes(),
        "write the token file": lambda: _open(target["token_file"], os.O_WRONLY),
        "list its folder": lambda: os.listdir(folder),  # noqa: PTH208 - one system call
        "make a file": (folder / "made").touch,
        "make a socket by a name": lambda: _bind(folder / "made.sock"),
        "open the token file to all": lambda: Path(target["token_file"]).chmod(0o666),
        "connect to the SDS socket": lambda: _converse(target["sds"]),
        "connect to the socket behind it": lambda: _converse(target["inner"]),
        "connect over TCP": lambda: socket.create_connection(("127.0.0.1", target["port"]), 5),
        "send over UDP": lambda: _udp(target["port"]),
        "listen on another port": lambda: socket.create_server(("127.0.0.1", 0)),
        "read its memory": lambda: _open(f"/proc/{pid}/mem", os.O_RDONLY),
        "read its environment": lambda: Path(f"/proc/{pid}/environ").read_bytes(),
        "list its descriptors": lambda: os.listdir(f"/proc/{pid}/fd"),  # noqa: PTH208
        "trace it": lambda: _called("ptrace", _PTRACE_SEIZE, pid, 0, 0),
        "copy its memory": lambda: _copy(pid),
        "signal it": lambda: os.kill(pid, signal.SIGCONT),
        "limit it": lambda: resource.prlimit(pid, resource.RLIMIT_CORE),
        "slow it down": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": _fork,
        "become another user": lambda: os.setuid(os.getuid()),
        "remove the token file": lambda: Path(target["token_file"]).unlink(),
    }
    return {name: _outcome(act) for name, act in table.items()}


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except Exception as exc:  # noqa: BLE001 - its name is the outcome
        return type(exc).__name__
    return "done"


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags))


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _converse(path: str) -> None:
    """Connect and have an answer: a connection that is closed at once brings nothing."""
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(10)
        made.connect(path)
        made.sendall(b"x")
        if not made.recv(1):
            raise ConnectionResetError


def _udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", port))


def _called(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _copy(pid: int) -> None:
    """Ask for a byte where none is: who may not ask is told so before that is seen."""
    buffer = ctypes.create_string_buffer(1)
    ours = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 1)
    theirs = (ctypes.c_void_p * 2)(4096, 1)
    try:
        _called("process_vm_readv", pid, ours, 1, theirs, 1, 0)
    except OSError as exc:
        if exc.errno != errno.EFAULT:
            raise


def _fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
