"""Puts a newly wrapped key into an archive's file: one write of one sector of 512 bytes.

The body is not read. The sector begins at byte 512, so that it crosses no page of the kernel's
and no sector of the disk: whoever reads sees the old one or the new one.
"""

import fcntl
import io
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from workload.backups.archive import read_archive_header
from workload.backups.errors import BackupFault
from workload.backups.header import SECTOR_BYTES, ArchiveHeader, encode_key_sector


async def rewrap_file(
    path: Path, rewrap: Callable[[ArchiveHeader], Awaitable[str]]
) -> tuple[int, int]:
    """Have the key of an archive wrapped again; return the versions before and after.

    Raises ``BackupFault`` and ``ArchiveAltered``, and what ``rewrap`` raises.
    """
    try:
        with io.FileIO(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC), "r+") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BackupFault(f"{path} is no regular file: a key is wrapped again in place")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = read_archive_header(file)
            after = header._replace(wrapped=await rewrap(header))
            if os.pwrite(file.fileno(), encode_key_sector(after.wrapped), SECTOR_BYTES) < (
                SECTOR_BYTES
            ):
                raise BackupFault(f"{path}: the key's sector was written in part: rewrap it again")
            os.fsync(file.fileno())
    except BlockingIOError:
        raise BackupFault(f"{path} is being rewrapped by another process") from None
    except OSError as exc:
        raise BackupFault(f"{path} can't be rewrapped: {exc.strerror}") from None
    return header.key_version, after.key_version
