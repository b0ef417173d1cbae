"""Passwords that are known from breaches, by a local copy of Pwned Passwords. Nothing is sent.

Two forms of it are read, by what the path is:

- **a file**, sorted by hash: a line ``<40 hex of SHA-1>:<count>`` for each password;
- **a folder** of ranges, as the official downloader writes them and the range API answers:
  ``21BD1.txt`` has a line ``<35 hex>:<count>`` for each hash that begins so, sorted.

A look-up is a binary search by ``pread``: about 35 steps of 160 bytes in 40 GB. Nothing is mapped
into memory, since a file that is cut short while it is mapped kills the process; a file that is
exchanged by a rename is used from the next look-up on. **It fails closed**: a file that is not
there, not in this form or not sorted is a fault, not a good password.
"""

import hashlib
import os
import re
from pathlib import Path

from workload.passwords.errors import BreachedListFault
from workload.passwords.typed import Typed
from workload.settings import SettingsFault

_WINDOW_BYTES = 80
"""More than a line: 40 digits, a colon, a count, CR and LF."""
_LINE = re.compile(rb"([0-9A-Fa-f]+):(\d{1,12})\r?", re.ASCII)
_PREFIX_DIGITS = 5


class BreachedPasswords:
    """A local list; ``min_count`` is how often a password must have been seen to be refused."""

    def __init__(self, path: str | Path, min_count: int = 1) -> None:
        self._path = Path(path)
        if min_count < 1:
            raise SettingsFault("min_count must be at least 1")
        self._min_count = min_count
        self._is_folder = self._path.is_dir()
        if not self._is_folder and not self._path.is_file():
            raise SettingsFault(f"{self._path}: there is no list of breached passwords")

    def has(self, typed: Typed) -> bool:
        """Return whether a password is on the list. Reads a file; raises ``BreachedListFault``."""
        return any(self._count(each) >= self._min_count for each in {typed.normalised, typed.raw})

    def _count(self, password: bytes) -> int:
        digits = hashlib.sha1(password, usedforsecurity=False).hexdigest().upper().encode("ascii")
        path = self._path
        if self._is_folder:
            path = path / f"{digits[:_PREFIX_DIGITS].decode('ascii')}.txt"
            digits = digits[_PREFIX_DIGITS:]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise BreachedListFault(f"{path} cannot be read: {exc.strerror}") from None
        try:
            return _search(descriptor, digits)
        except OSError as exc:
            raise BreachedListFault(f"{path} cannot be read: {exc.strerror}") from None
        except ValueError as exc:
            raise BreachedListFault(f"{path}: {exc}") from None
        finally:
            os.close(descriptor)


def _search(descriptor: int, wanted: bytes) -> int:
    """Return the count beside a hash, 0 where it is not there. Raises ``ValueError``."""
    low, high = 0, os.fstat(descriptor).st_size
    below, above = b"", b"~"  # the hashes that bound what is between: digits sort before "~"
    while low < high:
        start, line = _line_at(descriptor, (low + high) // 2)
        found = _LINE.fullmatch(line)
        if found is None or len(found[1]) != len(wanted):
            raise ValueError(f"at byte {start} is no line of {len(wanted)} digits, ':' and a count")
        digits = found[1].upper()
        if not below < digits < above:
            raise ValueError(f"the line at byte {start} is not in the order of the hashes")
        if digits == wanted:
            return int(found[2])
        if digits > wanted:
            high, above = start, digits
        else:
            low, below = start + len(line) + 1, digits
    return 0


def _line_at(descriptor: int, place: int) -> tuple[int, bytes]:
    """Return where the line begins that holds the byte at ``place``, and the line."""
    first = max(0, place - _WINDOW_BYTES)
    window = os.pread(descriptor, 2 * _WINDOW_BYTES, first)
    before = window.rfind(b"\n", 0, place - first)
    if before < 0 and first > 0:
        raise ValueError(f"the line at byte {place} is too long")
    end = window.find(b"\n", place - first)
    return first + before + 1, window[before + 1 : end if end >= 0 else len(window)]
