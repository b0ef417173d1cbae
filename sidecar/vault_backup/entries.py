"""The content of an archive: a line of JSON for each entry, one before and one after them. Pure.

The last line says how many there are. The archive itself is authenticated to its end
(``workload.backups``); this finds a program of ours that stopped half way.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from sidecar.common.errors import Fault

FORMAT = 1
MAX_LINE_BYTES = 33_554_432
"""Vault takes requests of 32 MiB."""
_MAX_PATH = 1024


class EntryFault(Fault):
    """The content of an archive is none of ours."""


class EntryRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry's metadata says of its versions, and the notes of its owner."""

    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: str = "0s"
    custom: dict[str, str] = {}


class StoredEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest version of an entry. Its representation shows no value."""

    mount: str
    path: str
    version: int
    written_at: float
    """By the clock of the Vault it comes from (Unix seconds)."""
    data: dict[str, Any]
    rules: EntryRules = EntryRules()

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        text = f"{self.mount}/{self.path}"
        if not text.isprintable() or len(text) > _MAX_PATH or {"", ".", ".."}.intersection(parts):
            raise ValueError("no path of an entry")

    @property
    def name(self) -> str:
        """It, for messages."""
        return f"{self.mount}/{self.path}"

    def __repr__(self) -> str:
        return f"StoredEntry({self.name!r}, version={self.version}, fields={sorted(self.data)})"


def first_line() -> bytes:
    """Return the line before the entries."""
    return _line({"format_of_entries": FORMAT})


def entry_line(entry: StoredEntry) -> bytes:
    """Return the line of an entry. Raises ``EntryFault`` for one that can't be read again."""
    line = _line(msgspec.structs.asdict(entry) | {"rules": msgspec.structs.asdict(entry.rules)})
    if len(line) > MAX_LINE_BYTES:
        raise EntryFault(f"{entry.name} has more than {MAX_LINE_BYTES} bytes")
    return line


def last_line(count: int) -> bytes:
    """Return the line after the entries."""
    return _line({"entries": count})


def read_entries(content: Iterable[bytes]) -> Iterator[StoredEntry]:
    """Yield the entries of an archive's content. Raises ``EntryFault``."""
    lines = _lines(content)
    if _object(next(lines, b"")) != {"format_of_entries": FORMAT}:
        raise EntryFault(
            f"the archive has no entries of Vault in format {FORMAT}: is it another backup, or a "
            "newer sidecar's?"
        )
    for count, line in enumerate(lines):
        found = _object(line)
        if found.keys() == {"entries"}:
            if found["entries"] != count or next(lines, None) is not None:
                break
            return
        yield _entry(found, count + 1)
    raise EntryFault("the archive's list of entries has no right end: it was not written whole")


def _entry(found: Mapping[str, Any], number: int) -> StoredEntry:
    try:
        return msgspec.convert(found, StoredEntry)
    except (msgspec.ValidationError, ValueError):
        raise EntryFault(f"entry {number} of the archive is no entry of Vault") from None


def _lines(content: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in content:
        waiting += piece
        if b"\n" in piece:
            *whole, rest = bytes(waiting).split(b"\n")
            yield from whole
            waiting = bytearray(rest)
        if len(waiting) > MAX_LINE_BYTES:
            raise EntryFault(f"a line of the archive has more than {MAX_LINE_BYTES} bytes")
    if waiting:
        yield bytes(waiting)


def _object(line: bytes) -> dict[str, Any]:
    """Read a line; with Python's own numbers, which have no bounds, as Vault's answers are read."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
