"""``sidecar audit``: verifies the audit trail."""

import argparse
import asyncio
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cmp_to_key
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from sidecar.audit_trail.signer import read_keys
from sidecar.cli.arguments import add_config
from sidecar.cli.audit_subject import add_forget, add_subject
from sidecar.cli.output import add_json, print_json
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.printable import plural, printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.observability.audit.chain import Head, read_link
from sidecar.observability.audit.checkpoint import ORIGIN, NoteKey, read_given_keys, split_notes
from sidecar.observability.audit.findings import (
    Place,
    TrailFinding,
    TrailReport,
    TrailSummary,
    time_of,
)
from sidecar.observability.audit.verify import MAX_LINE_BYTES, Verifier
from sidecar.vault.client import VaultClient

EXIT_OK, EXIT_WRONG, EXIT_UNUSABLE = 0, 1, 2
_CHUNK = 1_048_576
_PROGRESS_SECONDS = 2.0
_MAX_CHECKPOINT_BYTES = 1_073_741_824
_MAX_PEEKED_LINES = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``audit``."""
    parser.description = "Work with the audit trail."
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_verify(commands.add_parser("verify", help="find what was changed in audit files"))
    add_subject(commands.add_parser("subject", help="print a person's pseudonyms"))
    add_forget(commands.add_parser("forget", help="make a person's lines anonymous, for good"))
    _add_key(commands.add_parser("key", help="print the public keys of checkpoints"))


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Verify audit files: find lines that were altered, removed, inserted, repeated or moved, "
        "and checkpoints that do not fit. Exit codes: 0 the trail holds, 1 it does not, 2 the "
        "files or the keys can't be read."
    )
    command.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="audit files in any order; .gz too"
    )
    command.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="a public key of checkpoints: a vkey, or a file with one or with a PEM; repeat it for "
        "each version of the key. Without it no signature is checked",
    )
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file of checkpoints that were kept elsewhere",
    )
    command.add_argument(
        "--max-unsigned",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how much time the lines behind the last checkpoint may cover (default: 600)",
    )
    command.add_argument(
        "--live",
        action="store_true",
        help="the files are still written: the newest checkpoint may be only that old",
    )
    command.add_argument(
        "--sink",
        default="",
        metavar="NAME",
        help="where audit.to has several sinks, the one whose copy these files are: what its full "
        "queue dropped, by the sidecar's own word, is no problem then",
    )
    add_json(command, "what was found")
    command.set_defaults(run=_verify)


def _add_key(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Print the public key of each version of the transit key that signs checkpoints, as a vkey "
        "for `sidecar audit verify --key`, with the sidecar's own login to Vault."
    )
    add_config(command)
    add_json(command, "the keys by version")
    command.set_defaults(run=_key)


def _key(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    settings = config.audit.checkpoints
    if settings is None:
        raise Fault(f"{options.config} has no audit.checkpoints: nothing is signed")
    keys = asyncio.run(_read_keys(config.vault, settings))
    if options.json:
        print_json({str(version): key.vkey for version, key in keys.items()})
    else:
        for key in keys.values():
            print(printable(key.vkey))
    return EXIT_OK


async def _read_keys(
    settings: model.Vault, checkpoints: model.CheckpointSettings
) -> dict[int, NoteKey]:
    vault = VaultClient(settings, clock=monotonic_seconds)
    try:
        return await read_keys(vault, checkpoints.mount, checkpoints.key)
    finally:
        await vault.close()


def _verify(options: argparse.Namespace) -> int:
    try:
        report = _read_all(options)
    except (Fault, OSError, EOFError) as exc:
        said = _words_of(exc)
        text = printable(f"sidecar: {said}")
        print(json.dumps({"error": said}) if options.json else text, file=sys.stderr)
        return EXIT_UNUSABLE
    if options.json:
        print_json({"whole": report.is_whole, **asdict(report)})
    else:
        _show(report)
    return EXIT_OK if report.is_whole else EXIT_WRONG


def _words_of(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return str(exc)


def _read_all(options: argparse.Namespace) -> TrailReport:
    keys = [key for each in options.key for key in read_given_keys(each)]
    verifier = Verifier(keys, max_unsigned_seconds=options.max_unsigned, sink=options.sink)
    for path in options.checkpoint:
        _read_checkpoints(verifier, path)
    verifier.signed.sort_external()
    files = _in_order(options.files)
    progress = _Progress(sum(each.path.stat().st_size for each in files))
    for each in files:
        verifier.begin_file(str(each.path))
        with _open(each.path) as file:
            while chunk := file.read(_CHUNK):
                verifier.read(chunk)
                progress.tell(verifier.report)
    progress.end()
    return verifier.finish(wall_seconds() if options.live else None)


def _read_checkpoints(verifier: Verifier, path: Path) -> None:
    if path.stat().st_size > _MAX_CHECKPOINT_BYTES:
        raise Fault(f"{path} is larger than {_MAX_CHECKPOINT_BYTES} bytes: give a part of it")
    text = path.read_text("utf-8", "replace")
    if ORIGIN not in text:
        raise Fault(f"{path} holds no checkpoint: each begins with {ORIGIN}")
    line = 1
    for note in split_notes(text):
        verifier.signed.add_external(note.rstrip("\n") + "\n", Place(str(path), line))
        line += note.count("\n")


class _File(NamedTuple):
    path: Path
    head: Head | None
    """Its first chained line."""
    time: str


def _in_order(paths: Sequence[Path]) -> list[_File]:
    """Return the files in the order in which they were written; a lock is no file of lines."""
    files = [_peek(each) for each in paths if each.suffix != ".lock"]
    if not files:
        raise Fault("none of these files has lines")
    return sorted(files, key=cmp_to_key(_compare))


def _compare(one: _File, two: _File) -> int:
    if one.head is None or two.head is None:
        return (one.head is not None) - (two.head is not None)
    if one.head.trail == two.head.trail:
        return one.head.seq - two.head.seq
    return (one.time > two.time) - (one.time < two.time)


def _peek(path: Path) -> _File:
    with _open(path) as file:
        for _ in range(_MAX_PEEKED_LINES):
            line = file.readline(MAX_LINE_BYTES)
            if not line:
                break
            if (link := read_link(line[:-1])) is not None:
                return _File(path, link.head, time_of(line))
    return _File(path, None, "")


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


class _Progress:
    """A line on a terminal that says how far a long reading is."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._next = monotonic_seconds() + _PROGRESS_SECONDS
        self._shown = False

    def tell(self, report: TrailReport) -> None:
        if monotonic_seconds() < self._next or not sys.stderr.isatty():
            return
        self._next = monotonic_seconds() + 0.5
        self._shown = True
        percent = min(100, 100 * report.bytes // max(1, self._size))
        print(f"\r{percent} %, {report.lines} lines", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


def _show(report: TrailReport) -> None:
    for each in report.trails:
        print(_of_trail(each))
    for finding in report.findings:
        for line in _of_finding(finding):
            print(printable(line))
    hidden = report.problems + report.notices - len(report.findings)
    if hidden:
        print(f"{hidden} more findings are not shown")
    if not report.signatures_checked:
        print("no signature was checked: give the key of the checkpoints (--key)")
    count = f"{plural(report.lines, 'line')}, {plural(report.bytes, 'byte')}"
    if report.is_whole:
        print(f"the trail holds: {count}")
    else:
        print(f"THE TRAIL DOES NOT HOLD: {plural(report.problems, 'problem')} in {count}")


def _of_trail(trail: TrailSummary) -> str:
    lines = f"lines {trail.first_seq} to {trail.last_seq}, {trail.first_time} to {trail.last_time}"
    signed = f"; signed up to line {trail.signed_to}" if trail.signed_to else ""
    return printable(f"trail {trail.trail}: {lines}; {trail.checkpoints} checkpoints fit{signed}")


def _of_finding(finding: TrailFinding) -> Iterator[str]:
    last = f"-{finding.last_line}" if finding.last_line > finding.line else ""
    where = f"{finding.file}:{finding.line}{last}: " if finding.file else ""
    yield f"{where}{finding.kind}: {finding.text}"
    facts: dict[str, Any] = {
        "time": finding.time,
        "decision": finding.decision_id,
        "after decision": finding.after_decision_id,
    }
    shown = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    if shown:
        yield f"    {shown}"
