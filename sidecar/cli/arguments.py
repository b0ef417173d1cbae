"""Types of arguments that several commands take."""

import argparse
from datetime import UTC, datetime

_LAST_PORT = 65_535
_DIGITS = 6
_LATEST = 253_402_300_800.0
"""The year 10000."""


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
