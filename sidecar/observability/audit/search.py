"""Finds a decision in an audit log and in its rotated files.

The file is not trusted: lines that are not valid audit lines are skipped. A line ends at a line
feed and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sidecar.common.errors import Fault

MAX_LINE_BYTES = 65_536
"""A longer line is not an audit line and is skipped."""


def find_decision(path: Path, decision_id: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the entries of a decision, the newest file first. Raises ``Fault``."""
    needle = decision_id.encode("utf-8", "replace")
    for each in _files(path):
        try:
            with each.open("rb") as file:
                for line in _lines(file):
                    if needle in line and (entry := _read(line, decision_id)) is not None:
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


def _read(line: bytes, decision_id: str) -> dict[str, Any] | None:
    try:
        entry = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return entry if entry.get("decision_id") == decision_id else None
