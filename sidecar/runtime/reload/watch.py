"""Notices that the file of the configuration has changed, whichever way it was written.

It is polled, not watched by the kernel: a ConfigMap's ``..data`` link is exchanged, an editor
renames a new file over the old one, a file over NFS changes elsewhere, and only its path stays.
A change is acted on once two looks in a row see the same file, so a file that is being written
is read when its writer has paused; one that does not parse all the same is refused, and read
again after its next change.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

FileMark = tuple[int, int, int, int]
"""Device, inode, size and time of change (nanoseconds) of what a path leads to."""
NO_FILE: FileMark = (0, 0, 0, 0)


def mark_of(path: Path) -> FileMark:
    """Return the mark of the file that a path leads to, through any links; it may block."""
    try:
        found = path.stat()
    except OSError:
        return NO_FILE
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class FileChange:
    """Tells when a file has changed and come to rest. Pure: it is given what was seen."""

    def __init__(self) -> None:
        self._acted_on = self._seen = NO_FILE

    def has_settled(self, mark: FileMark) -> bool:
        """Take what is seen now; return whether it is to be acted on.

        A file that is absent is about to be replaced, or a mistake: neither is acted on.
        """
        at_rest, self._seen = mark == self._seen, mark
        if mark in {self._acted_on, NO_FILE} or not at_rest:
            return False
        self._acted_on = mark
        return True


async def watch_file(
    path: Path, every_seconds: float, reload: Callable[[], Awaitable[object]]
) -> None:
    """Reload after each change of a file, until cancelled.

    And once at the beginning: the file may have changed since it was read for the start.
    """
    change = FileChange()
    while True:
        await asyncio.sleep(every_seconds)
        if change.has_settled(await asyncio.to_thread(mark_of, path)):
            await reload()
