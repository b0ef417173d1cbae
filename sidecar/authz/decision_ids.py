"""The ids of decisions: unique, and revealing nothing of how many there were before."""

import secrets

_SCATTER = 0x9E3779B1
"""Odd, so that no two 32-bit counts map to one number."""


class DecisionIds:
    """Ids of twenty hexadecimal digits: twelve of the process, eight of a scattered count."""

    __slots__ = ("_count", "_process")

    def __init__(self) -> None:
        self._process = secrets.token_hex(6).encode("ascii")
        self._count = secrets.randbits(32)

    def text(self) -> str:
        """Return the next id."""
        return self.raw().decode("ascii")

    def raw(self) -> bytes:
        """Return the next id, as ASCII."""
        self._count = count = self._count + 1
        return b"%b%08x" % (self._process, count * _SCATTER & 0xFFFFFFFF)
