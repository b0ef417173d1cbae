"""A scan: sources read, looked at, and what is allowed taken out."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workload.secrets.scan.findings import (
    AllowedSecret,
    Piece,
    SecretFinding,
    without_allowed,
)
from workload.secrets.scan.image import opened_image
from workload.secrets.scan.lines import LineDetectors, line_detectors
from workload.secrets.scan.repository import commit_of, read_file, read_folder, read_history
from workload.secrets.scan.sources import Source, Unread
from workload.secrets.scan.texts import is_key_store, text_of
from workload.secrets.scan.variables import find_variables
from workload.settings import SettingsFault

_STORE_MEND = "a store of keys belongs into Vault, not here"


class ScanResult(NamedTuple):
    """What a scan found and what it did not look at."""

    findings: tuple[SecretFinding, ...]
    unread: tuple[Unread, ...]
    unused: tuple[AllowedSecret, ...]
    """What is allowed and was not found: to be taken out of the list."""
    files: int


def scan(
    paths: Sequence[Path],
    *,
    history: bool,
    entropy: bool,
    allowed: Sequence[AllowedSecret] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> ScanResult:
    """Scan folders, files and images. Raises ``SettingsFault`` for what can't be scanned.

    ``progress`` is told the number of files after each.
    """
    findings: list[SecretFinding] = []
    unread: list[Unread] = []
    files = 0
    with line_detectors(entropy=entropy) as detectors:
        for path in paths:
            for each in _look(path, detectors, history=history):
                if isinstance(each, SecretFinding):
                    findings.append(each)
                elif isinstance(each, Unread):
                    unread.append(each)
                else:
                    files += each
                    progress(files)
    left, unused = without_allowed(dict.fromkeys(findings), allowed)
    return ScanResult(tuple(left), tuple(unread), tuple(unused), files)


def _look(
    path: Path, detectors: LineDetectors, *, history: bool
) -> Iterator[SecretFinding | Unread | int]:
    """Yield findings, what was not read, and 1 for each file."""
    if not path.exists():
        raise SettingsFault(f"{path} is not there")
    with opened_image(path) as image:
        if image is not None:
            yield from image.variables()
            yield from _look_at_all(itertools.chain(image.history(), image.files()), detectors)
            return
    if path.is_file():
        yield from _look_at(read_file(path, str(path)), detectors)
        return
    there: set[bytes] = set()
    yield from _look_at_all(_noted(read_folder(path), there), detectors)
    if history:
        yield from _look_at_history(path, there, detectors)


def _noted(sources: Iterable[Source | Unread], there: set[bytes]) -> Iterator[Source | Unread]:
    """Pass sources on, and note what was in them."""
    for each in sources:
        if isinstance(each, Source):
            there.add(hashlib.sha256(each.raw).digest())
        yield each


def _look_at_history(
    path: Path, there: set[bytes], detectors: LineDetectors
) -> Iterator[SecretFinding | Unread | int]:
    """Look at what Git still has and the folder has not."""
    past = (
        each
        for each in read_history(path)
        if isinstance(each, Unread) or hashlib.sha256(each.raw).digest() not in there
    )
    for found in _look_at_all(past, detectors):
        if isinstance(found, SecretFinding):
            yield found._replace(where=commit_of(path, found.where))
        else:
            yield found


def _look_at_all(
    sources: Iterable[Source | Unread], detectors: LineDetectors
) -> Iterator[SecretFinding | Unread | int]:
    for each in sources:
        yield from _look_at(each, detectors)


def _look_at(
    source: Source | Unread, detectors: LineDetectors
) -> Iterator[SecretFinding | Unread | int]:
    if isinstance(source, Unread):
        yield source
        return
    if is_key_store(source.path):
        yield SecretFinding("key-store", source.where, source.path, 0, _STORE_MEND)
    text = text_of(source.raw)
    if text is not None:
        piece = Piece(source.where, source.path, text)
        yield from detectors.find(piece)
        yield from find_variables(piece)
    yield 1
