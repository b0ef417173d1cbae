"""Finds decisions in an audit log and in its rotated files, by any id that names them.

The file is not trusted: lines that are not valid audit lines are skipped. A line ends at a line
feed and nothing else.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sidecar.common.errors import Fault
from sidecar.common.printable import escape_json

MAX_LINE_BYTES = 65_536
"""A longer line is not an audit line and is skipped."""


ID_FIELDS = ("decision_id", "request_id", "trace_id", "token_id", "token_digest")
"""The fields of a line by which it is found."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def bare_id(text: str) -> str:
    """Return the id in a text as it was copied: of a ``urn:``, or of a whole ``traceparent``."""
    bare = text.strip()
    if bare.startswith("urn:septem:decision:"):
        return bare.rpartition(":")[2]
    whole = _TRACEPARENT.fullmatch(bare)
    return bare if whole is None else whole[1]


def find_decisions(path: Path, identifier: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the entries of which one of ``ID_FIELDS`` is this, the newest file first.

    Raises ``Fault``.
    """
    if not identifier:
        return
    # As it stands in a line, where some characters are escapes.
    text = identifier.encode("utf-8", "replace").decode()
    needle = escape_json(msgspec.json.encode(text)[1:-1])
    for each in _files(path):
        try:
            with each.open("rb") as file:
                for line in _lines(file):
                    if needle in line and (entry := _read(line, identifier)) is not None:
                        yield each, entry
        except OSError as exc:
            raise Fault(f"{each} cannot be read: {exc.strerror}") from exc


def _files(path: Path) -> Iterator[Path]:
    """Yield the log, then regular files named like it with a dot and more, latest first."""
    try:
        if not path.exists():
            raise Fault(f"{path} does not exist: give the file that audit.to.path names")
        begin = f"{path.name}."
        others = [each for each in path.parent.iterdir() if each.name.startswith(begin)]
        rotated = [(each.stat().st_mtime, each) for each in others if each.is_file()]
    except OSError as exc:
        raise Fault(f"the folder {path.parent} can't be listed: {exc.strerror}") from exc
    yield path
    for _, each in sorted(rotated, reverse=True):
        yield each


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) <= MAX_LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)


def _read(line: bytes, identifier: str) -> dict[str, Any] | None:
    try:
        entry = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return entry if identifier in map(entry.get, ID_FIELDS) else None
