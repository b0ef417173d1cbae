"""Bytes between the lines of a trail that are none: of a crash, or of who knows whom."""

from hashlib import sha256

from sidecar.observability.audit.chain import TrailLine
from sidecar.observability.audit.findings import Place

_KEPT_BYTES = 65_536


class ForeignBytes:
    """Collects them, with bounded memory, until a line of a trail says what they are."""

    def __init__(self) -> None:
        self.place = Place("", 0)
        self.lines = 0
        self._size = 0
        self._begin = b""
        self._last = b""
        """The last byte, which is hashed once it is known whether more come."""
        self._hash = sha256()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._size > 0

    def add(self, data: bytes, file: str, line: int) -> None:
        """Add what is no line, at its place."""
        if not self._size:
            self.place = Place(file, line, data)
        if len(self._begin) < _KEPT_BYTES:
            self._begin += data[:_KEPT_BYTES]
        if not self._last or self._last == b"\n":
            self.lines += 1
        self._hash.update(self._last + data[:-1])
        self._last = data[-1:]
        self._size += len(data)

    @property
    def is_torn(self) -> bool:
        """Whether it is the beginning of one line, without its end."""
        return self.lines == 1 and self._last != b"\n" and self._begin.startswith(b"{")

    @property
    def is_blank(self) -> bool:
        """Whether it is a line end alone: what the sidecar writes behind half of a line."""
        return (self._size, self._last) == (1, b"\n")

    def is_named_by(self, own: TrailLine) -> bool:
        """Return whether a line of the trail says that these bytes are none.

        The line end that the sidecar writes before that line is not counted in it.
        """
        digest, size = self._hash.hexdigest(), self._size - 1
        if (own.foreign_bytes, own.foreign_sha256) == (size, digest) and self._last == b"\n":
            return True
        whole = self._hash.copy()
        whole.update(self._last)
        return (own.foreign_bytes, own.foreign_sha256) == (self._size, whole.hexdigest())

    def is_begin_of(self, line: bytes) -> bool:
        """Return whether they are the beginning of this line: it was written whole elsewhere."""
        return self.is_torn and self._size < len(line) and line.startswith(self._begin)
