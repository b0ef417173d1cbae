"""The resident memory of this process, read without a new descriptor."""

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ResidentMemory:
    """Reads the resident memory of this process.

    The file is opened once: later there may be no descriptor left for it.
    """

    def __init__(self) -> None:
        try:
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._statm = -1

    def read(self) -> int:
        """Return it in bytes; 0 where the system does not provide it."""
        try:
            return int(os.pread(self._statm, 256, 0).split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            return 0
