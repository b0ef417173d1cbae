"""The sinks of audit lines, and their failures.

A full disk accepts part of a batch and then fails. The writer learns how much was written
(``PartialWriteError``) and continues from there: no line is incomplete, none is written twice.
"""

import contextlib
import logging
import os
import select
from pathlib import Path
from typing import Protocol

from sidecar.common.errors import Fault
from sidecar.common.private_file import anyone_may_replace, close_to_others, open_to_append

_STDOUT = 1
_log = logging.getLogger("sidecar.observability.audit")


class AuditFault(Fault):
    """The audit log can't be opened."""


class PartialWriteError(OSError):
    """A write failed after ``taken`` bytes; the rest must still be written."""

    def __init__(self, cause: OSError, taken: int) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.taken = taken


class LinesRefusedError(Exception):
    """The batch is done; ``lines`` of it were refused, and would be again."""

    def __init__(self, lines: int, why: str) -> None:
        super().__init__(why)
        self.lines = lines


class Sink(Protocol):
    """Writes lines. Called from the writing thread only."""

    def write(self, lines: bytes) -> None:
        """Write whole lines.

        Raises ``OSError``: ``PartialWriteError`` where some bytes were written. Raises
        ``LinesRefusedError`` where the rest would be refused again.
        """

    def reopen(self) -> None:
        """Close a file that was rotated, and open the path again."""

    def close(self) -> None:
        """Close."""


class DescriptorSink:
    """An open file descriptor, such as standard output."""

    def __init__(self, descriptor: int = _STDOUT) -> None:
        self._descriptor = descriptor

    def write(self, lines: bytes) -> None:
        """Write all bytes."""
        write_all(self._descriptor, lines)

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Do nothing: the descriptor belongs to the caller."""


class FileSink:
    """A file that is only appended to and readable by its owner alone (``private_file``).

    An existing file and its rotated ones are made private; another user's is refused. With
    ``max_bytes`` it is renamed before it would grow larger, ``keep`` times.
    """

    def __init__(self, path: Path, *, max_bytes: int = 0, keep: int = 5) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._torn = False
        try:
            self._descriptor = open_to_append(path)
            close_to_others(path.parent, path.name)
        except OSError as exc:
            raise AuditFault(f"the audit log {path} can't be opened: {exc.strerror}") from exc
        if anyone_may_replace(path.parent):
            _log.warning(
                "any user may replace %s: set the sticky bit of its folder, or change its owner",
                path,
            )

    def write(self, lines: bytes) -> None:
        """Append all bytes; after a failure the file is opened again."""
        if self._descriptor < 0:
            self._descriptor = open_to_append(self._path)
        size = os.fstat(self._descriptor).st_size if self._max_bytes else 0
        # The rest of an incomplete line belongs to the file with its beginning.
        if size and size + len(lines) > self._max_bytes and not self._torn:
            self._rotate()
        try:
            write_all(self._descriptor, lines)
            self._torn = False
        except OSError as exc:
            self._torn = isinstance(exc, PartialWriteError) and exc.taken > 0
            with contextlib.suppress(OSError):
                self.close()
            raise

    def reopen(self) -> None:
        """Close the file, which logrotate may have moved, and open the path again."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            # Reset it first: after a failed close the descriptor may be reused (close(2)).
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _rotate(self) -> None:
        """Rename the file to ``.1``, and ``.1`` to ``.2``; the last one is deleted."""
        self.close()
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._descriptor = open_to_append(self._path)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, waiting where the reader is slow.

    Waits for a descriptor that another process made non-blocking (the setting is shared), too.
    Raises ``PartialWriteError`` with the number of bytes written so far.
    """
    view = memoryview(data)
    taken = 0
    while taken < len(data):
        try:
            taken += os.write(descriptor, view[taken:])
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError as exc:
            raise PartialWriteError(exc, taken) from exc
