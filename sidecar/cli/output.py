"""What commands print: results on standard output, all else on standard error.

Whoever redirects a command's output gets its result and nothing beside it: no question, no
progress, no warning and no advice. What limits a result ("no signature was checked") is a part
of it. JSON is in ASCII, whatever the terminal takes.
"""

import argparse
import json
import sys
from typing import Any

from sidecar.common.printable import printable


def add_json(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--json``; ``words`` say what is printed then. A failure is printed as JSON too."""
    parser.add_argument(
        "--json", action="store_true", help=f"{words} as JSON, a failure on standard error too"
    )


def print_json(value: Any) -> None:
    """Print one JSON document, indented, in ASCII."""
    print(json.dumps(value, indent=2))


def print_json_line(value: Any) -> None:
    """Print one JSON document in one line, at once, in ASCII."""
    print(json.dumps(value, separators=(",", ":")), flush=True)


def print_aside(text: str) -> None:
    """Print a line that is no result on standard error: advice, a warning, a refusal.

    Results that were printed before it are written before it, where both go to one place.
    """
    sys.stdout.flush()
    print(printable(text), file=sys.stderr)


def ask(question: str) -> str:
    """Ask whoever sits at the terminal; return the line that is typed, without spaces around it.

    The question is printed on standard error. ``input`` would print it on standard output where
    that is redirected.
    """
    sys.stdout.flush()
    print(f"{printable(question)} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
