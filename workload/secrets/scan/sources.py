"""What a scan reads, whatever it comes from."""

from typing import NamedTuple


class Source(NamedTuple):
    """The bytes of one file, in one version."""

    where: str
    """Shown before the path's line; the same as ``path`` for a file that is there now."""
    path: str
    raw: bytes


class Unread(NamedTuple):
    """A file that was not looked at, and why."""

    path: str
    why: str
