"""Where a chain goes on: the end of the audit file, under a lock that its writers share.

One file may have several writers for a while: an overlapping restart, a sidecar that takes over
from another one, two by mistake. Each batch is chained and written while its writer holds the
lock of ``<path>.lock``, after a look at whether another one has written since; so there is one
chain, whoever writes. The file itself says where the chain is: there is no second record of it
that could differ.
"""

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

from sidecar.common.private_file import open_to_append
from sidecar.observability.audit.chain import Head, follows, read_link

TAIL_BYTES = 4_194_304
"""How much of the file's end is read for its last line."""
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 200, 0.005
_ROTATED_NUMBER = re.compile(r"\.[0-9]{1,9}|[.-][0-9]{8}(-[0-9]{1,10})?")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tail(NamedTuple):
    """The end of a file: its last chained line, and what stands behind that."""

    head: Head | None
    """``None`` where no chained line was found."""
    foreign: bytes = b""
    """The bytes behind it that are no chained line: of a crash, or of who knows whom."""
    broken_at: int = 0
    """The number of the first line that does not follow the one before it; 0 for none."""


class Resume(NamedTuple):
    """Where a batch goes on, if not where the last one ended."""

    tail: Tail | None
    """``None``: where the last batch ended."""
    moved: bool
    """Whether the path is another file now: it must be opened again."""
    before: Head | None = None
    """The end of another chain, which is not continued but named."""


class ChainPlace(Protocol):
    """Where a chain goes on. ``acquire`` and ``release`` stand around each batch."""

    def acquire(self) -> Resume:
        """Return where to go on, and keep other writers out. Raises ``OSError``."""

    def release(self, *, whole: bool = True) -> bool:
        """Let other writers write; return whether the path is another file now.

        ``whole`` is false where the batch was not, so that the file's end must be read.
        """

    def sync(self) -> None:
        """Have what was written survive a loss of power. Raises ``OSError``."""

    def close(self) -> None:
        """Let go of everything."""


class MemoryPlace:
    """The chain of lines that go elsewhere than to one file: each process begins its own.

    ``path`` is a file among several receivers, whose last line the new chain names.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def acquire(self) -> Resume:
        """Go on where the last batch ended; at first, look where the chain before ended."""
        path, self._path = self._path, None
        if path is None:
            return Resume(None, moved=False)
        tail = None
        with contextlib.suppress(FileNotFoundError), _opened(path) as descriptor:
            tail = read_tail(descriptor)
        return Resume(None, moved=False, before=None if tail is None else tail.head)

    def release(self, *, whole: bool = True) -> bool:  # noqa: ARG002 - the port's
        """Do nothing: there is no other writer."""
        return False

    def sync(self) -> None:
        """Do nothing: the receivers have their own ways."""

    def close(self) -> None:
        """Do nothing."""


class FilePlace:
    """The chain of a file. Raises ``OSError`` if its lock can't be opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._lock = open_to_append(self._lock_path)
        self._file = -1
        """The file as the last batch left it, for reading; it may have been renamed since."""
        self._size = 0
        self._held = False

    def acquire(self) -> Resume:
        """Take the lock, and read the file's end if another writer was there."""
        self._take_lock()
        try:
            return self._look()
        except OSError:
            self.release()
            raise

    def _look(self) -> Resume:
        first = self._file < 0
        tail = None
        if not first and os.fstat(self._file).st_size != self._size:
            tail = self._tail_of_growth()
        moved, opened = self._open_if_moved()
        size = os.fstat(self._file).st_size if self._file >= 0 else 0
        if opened and size:
            # At the start; or another writer has renamed the file, and gone on in a new one.
            tail = read_tail(self._file)
        elif first:
            tail = self._tail_of_rotated()
        return Resume(tail, moved and not first)

    def release(self, *, whole: bool = True) -> bool:
        """Note how the file is left, and give the lock back; return whether it was renamed."""
        if not self._held:
            return False
        self._held = False
        moved = False
        with contextlib.suppress(OSError):
            moved, _ = self._open_if_moved()
            self._size = os.fstat(self._file).st_size if whole and self._file >= 0 else -1
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return moved

    def sync(self) -> None:
        """Write the file, and the one that was renamed last, to the disk."""
        for path in (self._path, self._path.with_name(f"{self._path.name}.1")):
            with contextlib.suppress(FileNotFoundError), _opened(path) as descriptor:
                os.fsync(descriptor)

    def close(self) -> None:
        """Close the files; the lock is given back with its own."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _take_lock(self) -> None:
        if not os.fstat(self._lock).st_nlink:  # somebody has removed it: others open another one
            os.close(self._lock)
            self._lock = open_to_append(self._lock_path)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)
            else:
                self._held = True
                return
        raise OSError(0, f"another process holds the lock {self._lock_path}: does it hang?")

    def _tail_of_growth(self) -> Tail:
        """Read what another writer has appended; the whole end where that has no chained line."""
        growth = os.fstat(self._file).st_size - self._size
        if self._size >= 0 and 0 < growth <= TAIL_BYTES:
            tail = tail_of(os.pread(self._file, growth, self._size), whole=True)
            if tail.head is not None:
                return tail
        return read_tail(self._file)

    def _open_if_moved(self) -> tuple[bool, bool]:
        """Open what the path names now; return whether that is another file, and is opened."""
        try:
            named = self._path.lstat()
        except FileNotFoundError:
            return True, False
        if self._file >= 0:
            known = os.fstat(self._file)
            if (known.st_dev, known.st_ino) == (named.st_dev, named.st_ino):
                return False, False
            os.close(self._file)
            self._file = -1
        self._file = _open(self._path)
        return True, True

    def _tail_of_rotated(self) -> Tail | None:
        """Return the end of the file that was renamed last; the chain goes on from there."""
        begin = self._path.name
        renamed = [
            (each.lstat().st_mtime_ns, each)
            for each in self._path.parent.iterdir()
            if each.name.startswith(begin) and _ROTATED_NUMBER.fullmatch(each.name[len(begin) :])
        ]
        if not renamed:
            return Tail(None)
        with _opened(max(renamed)[1]) as descriptor:
            return read_tail(descriptor)


def _open(path: Path) -> int:
    descriptor = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, f"{path} is not a regular file")
    return descriptor


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_tail(descriptor: int) -> Tail:
    """Read the end of a file, at most ``TAIL_BYTES``. Raises ``OSError``."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    return tail_of(data, whole=size <= TAIL_BYTES)


def tail_of(data: bytes, *, whole: bool) -> Tail:
    """Return what the end of a file says; ``whole`` if that is all of the file.

    Where no chained line is in it, only half a line is foreign: the lines are older than the chain.
    """
    end = data.rfind(b"\n") + 1
    while end:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if (start or whole) and (link := read_link(data[start : end - 1])) is not None:
            return Tail(link.head, data[end:], _broken_at(data[:end], whole=whole))
        end = start
    return Tail(None, data[data.rfind(b"\n") + 1 :])


def _broken_at(data: bytes, *, whole: bool) -> int:
    """Return the number of the first line that does not follow the chained one before it."""
    lines = data[:-1].split(b"\n")
    before: Head | None = None
    for line in lines if whole else lines[1:]:
        link = read_link(line)
        if link is None:
            continue
        if before is not None and not follows(before, link):
            return link.head.seq
        before = link.head
    return 0


def foreign_fields(foreign: bytes) -> dict[str, int | str]:
    """Return what the line behind foreign bytes says of them."""
    return {"foreign_bytes": len(foreign), "foreign_sha256": sha256(foreign).hexdigest()}
