"""What the tests of the spool share: keys, lines, a store, and a file that was tampered with."""

import json
import os
from pathlib import Path

from sidecar.observability.audit.spool.keys import DataKey, SpoolKeys, SpoolKeyStore
from sidecar.observability.audit.spool.reader import SpoolReader
from sidecar.observability.audit.spool.records import KeyReference
from sidecar.observability.audit.spool.store import SpoolStore

MAX_BYTES = 16_777_216
OPENED: list[SpoolStore | SpoolReader] = []
"""What a fixture closes after each test."""


class KeyShelf:
    """A key store in memory, which can be away; each ``new`` is another key, as transit's are."""

    def __init__(self) -> None:
        self.keys: dict[KeyReference, bytes] = {}
        self.away = False
        self.asked = 0

    def new(self) -> DataKey:
        self._answer()
        key = DataKey(os.urandom(32), KeyReference(wrapped=f"vault:v1:{len(self.keys)}"))
        self.keys[key.reference] = key.secret
        return key

    def open(self, reference: KeyReference) -> bytes:
        self._answer()
        return self.keys[reference]

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise OSError(0, "Vault does not answer")


class FixedKey:
    """One key for several processes, as Vault has it."""

    def new(self) -> DataKey:
        return DataKey(bytes(32), KeyReference(version=1))

    def open(self, _reference: KeyReference) -> bytes:
        return bytes(32)


def lines(first: int, count: int = 1, size: int = 40) -> bytes:
    """So many lines, each of which says its number."""
    return b"".join(
        json.dumps({"decision_id": f"d{number}", "path": "x" * size}).encode() + b"\n"
        for number in range(first, first + count)
    )


def numbers(text: bytes) -> list[int]:
    """The numbers of lines; every line must be whole."""
    return [int(json.loads(line)["decision_id"][1:]) for line in text.splitlines()]


def open_store(
    folder: Path, shelf: SpoolKeyStore, *sinks: str, max_bytes: int = MAX_BYTES, now: float = 1000.0
) -> SpoolStore:
    store = SpoolStore(folder, SpoolKeys(shelf), max_bytes, lambda: now)
    OPENED.append(store)
    store.open(sinks or ("one",))
    return store


def reader_of(store: SpoolStore, name: str = "one") -> SpoolReader:
    reader = SpoolReader(store, name)
    OPENED.append(reader)
    return reader


def all_of(reader: SpoolReader) -> list[int]:
    """Take and let go of all batches; return the numbers of their lines."""
    found: list[int] = []
    while batch := reader.take(25, 1_000_000):
        found += numbers(batch.lines)
        reader.done(batch)
    return found


def fill(store: SpoolStore, records: int, count: int = 10, size: int = 40) -> None:
    """Append records of so many lines, each safe."""
    for _ in range(records):
        store.append(lines(store.end, count, size), count)
        store.sync()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    text = bytearray(path.read_bytes())
    text[at] ^= 1
    path.write_bytes(text)
