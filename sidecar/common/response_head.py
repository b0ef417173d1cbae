"""The head of an HTTP response, with a bound on all of it.

``http.client`` bounds a line (64 KB) and the number of header lines (100), which is 6 MB, and
reads interim responses (1xx, RFC 9110 §15.2) as long as they come. Here the interim responses
and the head together have one bound.
"""

from http.client import HTTPException, HTTPResponse
from typing import Any

MAX_HEAD_BYTES = 65_536


class HeadTooLong(HTTPException):
    """The head of a response, with the interim responses before it, is too long."""


class _BoundedLines:
    """Reads lines up to a number of bytes; everything else is the file's own."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = MAX_HEAD_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLong(f"more than {MAX_HEAD_BYTES} bytes before the body")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class BoundedResponse(HTTPResponse):
    """A response whose head is bounded."""

    def begin(self) -> None:
        """Read the status line and the headers. Raises ``HeadTooLong``."""
        file: Any = self.fp
        self.fp = _BoundedLines(file)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if self.fp is not None:  # a response without a body has closed it
                self.fp = file
