"""Finding a decision in an audit log, and in what was rotated away.

The file may be anybody's: its lines are held to what a line of ours is, and what is none is
passed over. A line ends where the log ends it, with a line feed and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from sidecar.common.errors import Fault

MAX_LINE_BYTES = 65_536
"""A longer one is none of ours, and is passed over whole."""


def find_decision(path: Path, decision_id: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the entries of a decision, the newest file first. Raises ``Fault``."""
    wanted = decision_id.encode("utf-8", "replace")
    for each in _files(path):
        try:
            with each.open("rb") as file:
                for line in _lines(file):
                    if wanted in line and (entry := _read(line, decision_id)) is not None:
                        yield each, entry
        except OSError as exc:
            raise Fault(f"{each} cannot be read: {exc.strerror}") from exc


def _files(path: Path) -> Iterator[Path]:
    """Yield the log, then what begins with its name and a dot: regular files, latest first."""
    try:
        if not path.exists():
            raise Fault(f"{path} is not there; is it where audit.to.path points to?")
        begin = f"{path.name}."
        others = [each for each in path.parent.iterdir() if each.name.startswith(begin)]
        rotated = [(each.stat().st_mtime, each) for each in others if each.is_file()]
    except OSError as exc:
        raise Fault(f"{path.parent} cannot be looked into: {exc.strerror}") from exc
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
