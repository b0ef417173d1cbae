"""Credentials in files: made with mode 0600, never over what is there, never shown."""

import contextlib
import os
import secrets
from pathlib import Path

from sidecar.common.errors import Fault
from sidecar.common.private_file import PRIVATE_MODE

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def is_there(path: Path) -> bool:
    """Tell whether something has this name, a dangling symbolic link too."""
    return os.path.lexists(path)


def write_private(path: Path, content: str, *, replace: bool) -> None:
    """Write a file for this user alone, whole or not at all.

    Raises ``Fault``, which names the file and never quotes the content; also where something is
    there and is not to be replaced.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, _FLAGS, PRIVATE_MODE)
    except OSError as exc:
        raise Fault(
            f"{path} can't be written: {exc.strerror}; make its folder, writable for this user"
        ) from exc
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)
    except FileExistsError:
        raise Fault(f"{path} is there already, and was not replaced") from None
    except OSError as exc:
        raise Fault(f"{path} can't be written: {exc.strerror}") from exc
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
