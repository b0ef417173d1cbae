"""Files that we alone may read: opened so, or made so, or refused.

A file that is there already may be another's, have another name, or be open to readers; a
folder that others may write to lets them put one there. None of that is passed over in silence.
"""

import contextlib
import os
import re
import stat
from pathlib import Path

PRIVATE_MODE = 0o600
_OTHERS = 0o7177
"""What of a mode is not its owner's reading and writing."""


def open_to_append(path: Path) -> int:
    """Open a regular file to append to it, 0600 from then on, and make it if there is none.

    Returns its descriptor. Raises ``OSError`` for a symbolic link, for what is no regular file,
    for another user's, and for one that has a second name.
    """
    return _make_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def close_to_others(folder: Path, name: str) -> None:
    """Make what was rotated away private too: ``<name>.1`` and so on, those that are ours.

    What is another's stays as it is: no line of ours is in it. Raises ``OSError``.
    """
    numbered = re.compile(re.escape(name) + r"\.[0-9]{1,9}")
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # rotated on meanwhile
            if numbered.fullmatch(each.name) and _is_ours_and_open(each.lstat()):
                os.close(_make_private(each, os.O_RDONLY))


def anyone_may_replace(folder: Path) -> bool:
    """Tell whether any user may remove or replace files of ours in a folder."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _make_private(path: Path, flags: int) -> int:
    # O_NONBLOCK: a FIFO must not hold us up before it is seen for what it is.
    safe = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags | safe, PRIVATE_MODE)
    try:
        found = os.fstat(descriptor)
        if problem := _problem_of(found):
            raise OSError(0, problem)  # noqa: TRY301 - as what the kernel refuses
        if found.st_mode & _OTHERS:
            os.fchmod(descriptor, PRIVATE_MODE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _problem_of(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and we are {os.geteuid()}"
    if found.st_nlink > 1:
        return "it has another name (a hard link); give it a file of its own"
    return ""


def _is_ours_and_open(found: os.stat_result) -> bool:
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    return is_ours and bool(found.st_mode & _OTHERS)
