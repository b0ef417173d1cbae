"""What commands print: JSON where it is asked for, in ASCII, whatever the terminal takes."""

import argparse
import json
from typing import Any


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
