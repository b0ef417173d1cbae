"""``sidecar explain``: finds a request's line in the audit log, by any id that names it."""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli.arguments import count_argument
from sidecar.cli.output import add_json, print_json
from sidecar.common.printable import printable
from sidecar.common.reason_texts import reasons
from sidecar.observability.audit.search import ID_FIELDS, bare_id, find_decisions

EXIT_OK, EXIT_WRONG = 0, 1
MAX_FIELDS, MAX_NAME = 64, 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``explain``."""
    parser.description = (
        "Find a request's audit line, and what its reason means, by any id. It may be that of the "
        "decision, as a client was given it; of the request (x-request-id, in Envoy's access log); "
        "or of the trace. Or find all lines of one token, by its jti or by token_digest."
    )
    parser.add_argument(
        "id", metavar="ID", help="the id; with its urn: prefix, or a whole traceparent, too"
    )
    parser.add_argument(
        "--limit", type=count_argument, default=20, metavar="N", help="lines at most (default 20)"
    )
    parser.add_argument(
        "--audit", type=Path, required=True, metavar="FILE", help="the audit log; rotated ones too"
    )
    add_json(parser, "the lines")
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    identifier = bare_id(options.id)
    found: list[dict[str, Any]] = []
    more = False
    for path, entry in find_decisions(options.audit, identifier):
        if len(found) == options.limit:
            more = True
            break
        meaning = [{"title": title, "text": text} for title, text in _meaning(entry)]
        found.append({"file": str(path), "line": entry, "meaning": meaning})
        if not options.json:
            _show(path, entry)
    if options.json:
        print_json(found)
    elif not found:
        message = (
            f"no line in {options.audit} or its rotated files names {identifier} "
            f"({', '.join(ID_FIELDS)})"
        )
        print(printable(message), file=sys.stderr)
    if more:
        print(f"more lines name it: --limit {options.limit * 10}", file=sys.stderr)
    return EXIT_OK if found else EXIT_WRONG


def _show(path: Path, entry: dict[str, Any]) -> None:
    """Print one line of the log, a field a line; its content is not trusted."""
    print(printable(f"decision {entry.get('decision_id', '')} ({path})"))
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
