"""Files that only this process's user may read: opened so, made so, or refused.

An existing file may belong to another user, have a second name, or be open to readers; in a
folder that others may write to they can create one. All of this is refused or reported.
"""

import contextlib
import os
import re
import stat
from pathlib import Path

PRIVATE_MODE = 0o600
_OTHERS = 0o7177
"""The permission bits other than the owner's reading and writing."""


def open_to_append(path: Path) -> int:
    """Open a regular file for appending, with mode 0600, and create it if it does not exist.

    Returns its descriptor. Raises ``OSError`` for a symbolic link, for anything but a regular
    file, for another user's file, and for one that has a second name.
    """
    return _make_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def close_to_others(folder: Path, name: str) -> None:
    """Make rotated files private too: ``<name>.1`` and so on, if they are this user's.

    Others' files are not changed: none of the sidecar's lines is in them. Raises ``OSError``.
    """
    numbered = re.compile(re.escape(name) + r"\.[0-9]{1,9}")
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # rotated again meanwhile
            if numbered.fullmatch(each.name) and _is_ours_and_open(each.lstat()):
                os.close(_make_private(each, os.O_RDONLY))


def anyone_may_replace(folder: Path) -> bool:
    """Return whether any user may remove or replace files in a folder."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _make_private(path: Path, flags: int) -> int:
    # O_NONBLOCK: a FIFO must not block before it is recognised.
    safe = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags | safe, PRIVATE_MODE)
    try:
        found = os.fstat(descriptor)
        _require_own_file(found)
        if found.st_mode & _OTHERS:
            os.fchmod(descriptor, PRIVATE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_own_file(found: os.stat_result) -> None:
    """Raise ``OSError``, as the kernel does for what it refuses, unless the file is ours alone."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is not a regular file")
    if found.st_uid != os.geteuid():
        us = os.geteuid()
        raise OSError(0, f"it belongs to user {found.st_uid}, but this process runs as user {us}")
    if found.st_nlink > 1:
        raise OSError(0, "it has a second name (a hard link); use a file with one name")


def _is_ours_and_open(found: os.stat_result) -> bool:
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and bool(found.st_mode & _OTHERS)
