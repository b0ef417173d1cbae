"""The files of segments in the folder of the spool, and the lock on that folder."""

import contextlib
import fcntl
import os
import re
import stat
from pathlib import Path

from sidecar.common.private_file import PRIVATE_MODE, open_to_append
from sidecar.observability.audit.spool.records import (
    PREAMBLE_BYTES,
    RECORD_HEADER_BYTES,
    DamagedError,
    read_preamble,
    read_record_header,
)

_SUFFIX = ".segment"
_DAMAGED = ".damaged"
_NAME = re.compile(r"[0-9]{20}\.segment")
_LOCK = "lock"
_FOLDER_MODE = 0o700
_DAMAGED_KEPT = 2
"""Segments that could not be read whole are kept beside the others, the newest of them."""


class Segment:
    """One file of the spool: the numbers of its lines, and its size."""

    def __init__(self, path: Path, first: int, end: int, size: int) -> None:
        self.path = path
        self.first = first
        self.end = end
        """The number of the line after its last."""
        self.size = size
        self.damaged = False

    def remove(self) -> None:
        """Delete the file; one that was damaged is kept under another name, for a look at it."""
        with contextlib.suppress(OSError):
            if self.damaged:
                set_aside(self.path)
            else:
                self.path.unlink()


class FolderLock:
    """The right to use the folder: one sidecar has it at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take it; return false where another has it. Raises ``OSError``."""
        if self.is_held:
            return True
        descriptor = open_to_append(self._folder / _LOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.release()
        self._descriptor = descriptor
        return True

    @property
    def is_held(self) -> bool:
        """Whether the folder is still the one that is locked, and not removed or replaced."""
        if self._descriptor < 0:
            return False
        try:
            ours, there = os.fstat(self._descriptor), (self._folder / _LOCK).stat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        """Give it up."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make the folder, or make it private. Raises ``OSError`` for another user's."""
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(0, "it is not a folder, or it is a link to one")
    if found.st_uid != os.geteuid():
        raise OSError(0, f"it belongs to user {found.st_uid}, not to this process's")
    if stat.S_IMODE(found.st_mode) != _FOLDER_MODE:  # also after a umask that takes our own bits
        folder.chmod(_FOLDER_MODE)


def segment_path(folder: Path, first: int) -> Path:
    """Return where the segment that begins with a line is."""
    return folder / f"{first:020}{_SUFFIX}"


def create_segment(path: Path, beginning: bytes) -> int:
    """Create a segment's file with its beginning; return its descriptor.

    Raises ``OSError``, also where it is there already; then it is as it was before.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_MODE)
    try:
        write_whole(descriptor, beginning)
        _sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return descriptor


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it at the descriptor's place. Raises ``OSError``."""
    if os.write(descriptor, data) != len(data):
        raise OSError(0, "the disk took a part only: it is full")


def _sync_folder(folder: Path) -> None:
    """Put a new name in a folder on the disk. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_segments(folder: Path) -> tuple[list[Segment], list[Path]]:
    """Return the segments in the order of their lines, and what was no whole segment.

    Only the last one is read through, for where it ends: the others end where the next begins,
    and a reader sees what is missing between. Raises ``OSError``.
    """
    found: list[Segment] = []
    unreadable: list[Path] = []
    for path in sorted(each for each in folder.iterdir() if _NAME.fullmatch(each.name)):
        first = int(path.name.removesuffix(_SUFFIX))
        try:
            with path.open("rb") as file:
                named = read_preamble(file.read(PREAMBLE_BYTES)).header.first
        except DamagedError:
            named = -1
        if named != first:
            unreadable.append(path)
            continue
        if found:
            found[-1].end = first
        found.append(Segment(path, first, first, path.stat().st_size))
    if found:
        found[-1].end = _end_of(found[-1])
    return found, unreadable


def _end_of(segment: Segment) -> int:
    """Return the number of the line after the last whole record, by the records' headers."""
    text = segment.path.read_bytes()
    at, end = read_preamble(text).size, segment.first
    while (record := read_record_header(text[at : at + RECORD_HEADER_BYTES])) is not None:
        at += RECORD_HEADER_BYTES + record.sealed_bytes
        if at > len(text) or record.lines == 0:
            break
        end = max(end, record.end) if record.first == end else end
    return end


def set_aside(path: Path) -> None:
    """Keep a damaged file under another name; of those only the newest. Raises ``OSError``."""
    path.replace(path.with_suffix(_DAMAGED))
    kept = sorted(each for each in path.parent.iterdir() if each.suffix == _DAMAGED)
    for each in kept[:-_DAMAGED_KEPT]:
        each.unlink()
