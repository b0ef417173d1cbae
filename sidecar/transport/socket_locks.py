"""One running sidecar per Unix socket: a lock beside each, held until the process ends.

A Unix socket's name says nothing of who listens, and binding would replace it. So each has a file
``<socket>.lock`` with a lock of the kernel on it (flock(2)), which ends with the process however
that ends, and which a second sidecar finds held before it has touched anything. The file holds
the process's number, for the message, and is removed by its owner alone.

An overlapping restart asks for the sockets by name (``take_over``): the lock's file is replaced,
as the socket is, once the successor listens; the predecessor finds neither its own any more.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sidecar.transport.sockets import ListenFault, fresh_name, is_at, remove_abandoned

_MAX_PID_DIGITS = 20


class _HeldLock(NamedTuple):
    """A lock of this process: its file and the descriptor that holds it."""

    file: Path
    descriptor: int


class SocketLocks:
    """The locks of the Unix sockets of one process.

    With ``take_over`` a socket that another sidecar has is taken from it, by ``replace``.
    """

    def __init__(self, sockets: Iterable[Path], *, take_over: bool = False) -> None:
        self.take_over = take_over
        self._sockets = tuple(dict.fromkeys(sockets))
        self._held: list[_HeldLock] = []
        self._others: list[Path] = []

    def acquire(self) -> None:
        """Lock every socket, and remove what a killed predecessor has left of it.

        Raises ``ListenFault`` for one that another sidecar has, and then holds none.
        """
        try:
            for path in self._sockets:
                self._acquire(path)
        except BaseException:
            self.release()
            raise

    def replace(self) -> None:
        """Take the locks of sockets that this process has taken over. Raises ``ListenFault``."""
        for path in self._others:
            file = _lock_file(path)
            fresh = fresh_name(file)
            try:
                descriptor = _open(fresh)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fresh.rename(file)
            except OSError as exc:
                raise _fault(path, exc) from exc
            self._keep(file, descriptor)
        self._others.clear()

    def release(self) -> None:
        """Give up the locks, and remove their files where no successor has put its own."""
        for held in self._held:
            try:
                if is_at(held.descriptor, held.file):
                    held.file.unlink()
            except OSError:
                pass  # the folder is gone, or no longer ours
            finally:
                os.close(held.descriptor)
        self._held.clear()

    def _acquire(self, path: Path) -> None:
        file = _lock_file(path)
        while True:
            try:
                descriptor = _open(file)
            except OSError as exc:
                raise _fault(path, exc) from exc
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, _MAX_PID_DIGITS, 0).decode("ascii", "replace")
                os.close(descriptor)
                if not self.take_over:
                    raise ListenFault(
                        f"cannot listen on unix:{path}: another sidecar (process"
                        f" {owner.strip() or 'unknown'}) has it; stop that one, or replace it"
                        " with `sidecar serve --take-over`"
                    ) from None
                self._others.append(path)
                return
            except OSError as exc:
                os.close(descriptor)
                raise _fault(path, exc) from exc
            if is_at(descriptor, file):
                self._keep(file, descriptor)
                remove_abandoned(path)
                return
            os.close(descriptor)  # its owner has removed it in between: look again

    def _keep(self, file: Path, descriptor: int) -> None:
        self._held.append(_HeldLock(file, descriptor))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)


def _lock_file(socket: Path) -> Path:
    return socket.with_name(f"{socket.name}.lock")


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _fault(path: Path, exc: OSError) -> ListenFault:
    return ListenFault(f"cannot listen on unix:{path}: its lock: {exc.strerror}")
