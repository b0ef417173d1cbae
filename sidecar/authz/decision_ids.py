"""The ids of decisions: unique, and revealing nothing of how many there were before."""

import secrets

ID_BYTES = 20
"""Of every id: answers are encoded before it is known, with space for so many bytes."""
_SCATTER = 0x9E3779B1
"""Odd, so that no two 32-bit counts map to one number."""


class DecisionIds:
    """Ids of twenty hexadecimal digits: twelve of the process, eight of a scattered count."""

    __slots__ = ("_count", "_process")

    def __init__(self) -> None:
        self._process = secrets.token_hex(6).encode("ascii")
        self._count = secrets.randbits(32)

    def take(self) -> bytes:
        """Return the next id, as ASCII."""
        self._count = count = self._count + 1
        return b"%b%08x" % (self._process, count * _SCATTER & 0xFFFFFFFF)
