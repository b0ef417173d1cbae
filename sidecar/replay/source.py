"""Reads audit lines from files and from standard input: rotated, compressed, in order of time.

Nothing of a file is trusted: a line is bounded, and so is what is held of each file. What is
compressed is told by its first bytes and not by its name.
"""

import gzip
import heapq
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from sidecar.common.errors import Fault
from sidecar.replay.line import MAX_LINE_BYTES, RecordedLine, lost_lines, parse_line
from sidecar.replay.zstd import ZstdReader

MAX_FILES = 256
STDIN = Path("-")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class OtherLines(Protocol):
    """Is told of lines that are no decisions."""

    def skip(self) -> None:
        """Count a line that no sidecar writes."""

    def lose(self, lines: int) -> None:
        """Count lines that are missing, by the chain's own word."""


def read_lines(paths: Sequence[Path], others: OtherLines) -> Iterator[RecordedLine]:
    """Yield the decisions of all files by their time; each file is read once, from its beginning.

    Raises ``Fault`` for what can't be read.
    """
    if len(paths) > MAX_FILES:
        raise Fault(f"{len(paths)} files; at most {MAX_FILES} are read at once")
    with ExitStack() as stack:
        streams = [_decisions(path, _open(path, stack), others) for path in paths]
        if len(streams) == 1:
            yield from streams[0]
        else:
            yield from heapq.merge(*streams, key=lambda line: line.at)


def _decisions(path: Path, file: BinaryIO, others: OtherLines) -> Iterator[RecordedLine]:
    try:
        for raw in _lines(file):
            line = None if raw is None else parse_line(raw)
            if line is not None:
                yield line
            elif raw is not None and (lost := lost_lines(raw)) is not None:
                others.lose(lost)
            else:
                others.skip()
    except (OSError, EOFError, zlib.error) as exc:
        raise Fault(f"{path} can't be read to its end: {exc}") from None


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines, and ``None`` for one that is too long; empty ones are left out."""
    while raw := file.readline(MAX_LINE_BYTES + 1):
        if len(raw) <= MAX_LINE_BYTES:
            if stripped := raw.strip():
                yield stripped
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(MAX_LINE_BYTES)
        yield None


def _stdin(stack: ExitStack) -> BufferedReader:
    """Return standard input, which stays open. Raises ``Fault`` where it is closed."""
    if sys.stdin is None:
        raise Fault("standard input is closed")
    reader = cast("BufferedReader", BufferedReader(cast("RawIOBase", sys.stdin.buffer)))
    stack.callback(reader.detach)
    return reader


def _open(path: Path, stack: ExitStack) -> BinaryIO:
    """Open a file, or standard input, through what decompresses it. Raises ``Fault``."""
    try:
        plain = _stdin(stack) if path == STDIN else stack.enter_context(path.open("rb"))
        begin = plain.peek(4)[:4]
    except OSError as exc:
        raise Fault(f"{path} can't be read: {exc.strerror}") from None
    if begin.startswith(_GZIP):
        return cast("BinaryIO", stack.enter_context(gzip.open(plain)))
    if begin.startswith(_ZSTD):
        return cast("BinaryIO", stack.enter_context(BufferedReader(ZstdReader(path))))
    return plain
