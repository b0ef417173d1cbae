"""Arguments that several commands take: each is declared here, in the same words everywhere."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

_LAST_PORT = 65_535
_DIGITS = 6
_LATEST = 253_402_300_800.0
"""The year 10000."""
_SETTINGS = "the sidecar's settings (YAML)"
_Options = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 - what has add_argument


def add_config(parser: _Options, *, required: bool = True) -> None:
    """Add ``--config``, the settings that a command works with."""
    parser.add_argument("--config", type=Path, required=required, metavar="FILE", help=_SETTINGS)


def add_settings_file(parser: argparse.ArgumentParser) -> None:
    """Add the settings as the file that a command is about."""
    parser.add_argument("file", type=Path, metavar="FILE", help=_SETTINGS)


def add_token_file(parser: argparse.ArgumentParser, may: str) -> None:
    """Add ``--token-file``, the operator's login; ``may`` says what its policy has to allow."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"a file with a Vault token of your own that may {may} (default: ~/.vault-token, "
        "where `vault login` and `bao login` put it)",
    )


def time_argument(text: str) -> float:
    """Return a time as Unix seconds; RFC 3339 is accepted too."""
    message = f"{text!r} is neither RFC 3339 (2026-11-24T12:00:00Z) nor Unix seconds"
    try:
        seconds = float(text)
    except ValueError:
        seconds = _rfc_3339(text, message)
    if not 0 <= seconds < _LATEST:  # excludes NaN, with which no token would be expired
        raise argparse.ArgumentTypeError(message)
    return seconds


def _rfc_3339(text: str, message: str) -> float:
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(message) from None


def whole_number(text: str) -> int:
    """Return a number without sign or fraction."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def port_number(text: str) -> int:
    """Return a TCP port."""
    if not 1 <= (number := whole_number(text)) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 1 to {_LAST_PORT}")
    return number


def count_argument(text: str) -> int:
    """Return a number of things, at least one."""
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:_DIGITS]!r} is no number from 1 to {10**_DIGITS - 1}")
