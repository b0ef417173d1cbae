"""A file that appears under its name when it is whole, and not before.

Until then it has no name at all (``O_TMPFILE``), so that a process that is killed leaves
nothing behind. Where the file system has no such files, it has a name of its own beside the
target's, which a signal that kills the process leaves there. Its mode is 0600.
"""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from workload.backups.errors import BackupFault

_MODE = 0o600
_NO_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


class OutputFile:
    """Takes bytes; ``commit`` gives them their name. Raises ``BackupFault``, naming the file."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self._path = path
        self._overwrite = overwrite
        self._part: Path | None = None
        self._descriptor = -1
        try:
            there = path.lstat()
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise self._fault(exc) from None
        else:
            if not stat.S_ISREG(there.st_mode):
                raise BackupFault(f"{path} is there, and is no regular file")
            if not overwrite:
                raise BackupFault(f"{path} is there already: --overwrite replaces it")
        try:
            self._open()
        except OSError as exc:
            raise self._fault(exc) from None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what was not committed."""
        os.close(self._descriptor)
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._part.unlink()

    def write(self, content: bytes) -> None:
        """Write all of it."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as exc:
            raise self._fault(exc) from None

    def commit(self) -> None:
        """Have it on the disk, then under its name."""
        try:
            os.fsync(self._descriptor)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._name(folder)
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileExistsError:
            raise BackupFault(f"{self._path} was made by somebody else meanwhile") from None
        except OSError as exc:
            raise self._fault(exc) from None

    def _name(self, folder: int) -> None:
        """Give the file its name; without ``overwrite`` the kernel refuses one that is taken."""
        if self._part is None and not self._overwrite:
            self._link(self._path, folder)
            return
        if self._part is None:
            part = self._beside()
            self._link(part, folder)
            self._part = part
        if self._overwrite:
            self._part.replace(self._path)
        else:
            os.link(self._part, self._path)
            self._part.unlink()
        self._part = None

    def _open(self) -> None:
        try:
            flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
            self._descriptor = os.open(self._path.parent, flags, _MODE)
        except OSError as exc:
            if exc.errno not in _NO_NAMELESS or not self._path.parent.is_dir():
                raise
            part = self._beside()
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            self._descriptor = os.open(part, flags, _MODE)
            self._part = part

    def _beside(self) -> Path:
        return self._path.with_name(f".{self._path.name[:200]}.{secrets.token_hex(4)}.part")

    def _link(self, name: Path, folder: int) -> None:
        # man 2 open, O_TMPFILE: linkat() by /proc. Python calls linkat() for a dst_dir_fd alone.
        os.link(f"/proc/self/fd/{self._descriptor}", name.name, dst_dir_fd=folder)

    def _fault(self, exc: OSError) -> BackupFault:
        return BackupFault(f"{self._path} can't be written: {exc.strerror}")
