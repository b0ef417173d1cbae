"""``sidecar explain``: finds a decision's line in the audit log."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli.output import add_json, print_json
from sidecar.common.printable import printable
from sidecar.common.reason_texts import reasons
from sidecar.observability.audit.search import find_decision

EXIT_OK, EXIT_WRONG = 0, 1
MAX_FIELDS, MAX_NAME = 64, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``explain``."""
    parser.description = "Find the audit lines of a decision by the id a client was given."
    parser.add_argument("id", metavar="ID", help="the decision id, with or without its urn: prefix")
    parser.add_argument(
        "--audit", type=Path, required=True, metavar="FILE", help="the audit log; rotated ones too"
    )
    add_json(parser, "the lines")
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    decision_id = options.id.rpartition(":")[2]
    found = []
    for path, entry in find_decision(options.audit, decision_id):
        meaning = [{"title": title, "text": text} for title, text in _meaning(entry)]
        found.append({"file": str(path), "line": entry, "meaning": meaning})
        if not options.json:
            _show(path, decision_id, entry)
    if options.json:
        print_json(found)
    elif not found:
        message = f"no decision {decision_id} in {options.audit} or its rotated files"
        print(printable(message), file=sys.stderr)
    return EXIT_OK if found else EXIT_WRONG


def _show(path: Path, decision_id: str, entry: dict[str, Any]) -> None:
    """Print one line of the log, a field a line; its content is not trusted."""
    print(printable(f"decision {decision_id} ({path})"))
    for name, value in islice(entry.items(), MAX_FIELDS):
        if name != "decision_id":
            print(f"  {printable(name, MAX_NAME):14} {_value(value)}")
    if len(entry) > MAX_FIELDS:
        print(f"  {len(entry) - MAX_FIELDS} more fields are not shown")
    for title, text in _meaning(entry):
        print(f"  {title:14} {text}")


def _meaning(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the line's reason means, and what to do; in shadow mode the other one's too."""
    known = reasons()
    for field in ("reason", "shadow_reason"):
        reason = entry.get(field)
        about = known.get(reason) if isinstance(reason, str) else None
        if about is not None:
            yield "what it means", about["means"]
            if about["do"]:
                yield "what to do", about["do"]


def _value(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return printable(", ".join(value))
    return printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())
