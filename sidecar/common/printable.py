"""Makes untrusted text safe for a terminal and for a single line.

A name, a path or a message from a file, from Vault or from the network may contain control
characters that a terminal obeys (C0, C1, DEL), characters that reverse the reading direction
(bidirectional controls), invisible ones (zero-width characters), or a line break that forges a
line. These are shown as escapes, as JSON writes them.
"""

import re
from typing import TextIO

MAX_SHOWN = 4096
_HIGH = 0xFFFF
_DEL = 0x7F
"""A number: to search bytes for one is three times as fast as for bytes."""
_SUSPECT = re.compile(r"[^\x00-\x7e]")


def printable(text: object, max_length: int = MAX_SHOWN) -> str:
    r"""Return a text in one line: whatever is not printable as ``\u…``, and cut to length."""
    shown = str(text)
    if len(shown) > max_length:
        shown = shown[: max_length - 1] + "…"
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them printable; tabs are kept."""
    return "\n".join(
        "\t".join(printable(part, len(part) + 1) for part in line.split("\t"))
        for line in text.split("\n")
    )


def escape_json(encoded: bytes) -> bytes:
    """Escape characters that an encoded JSON text may contain but no terminal should get.

    JSON requires escapes for C0 only. ASCII text costs next to nothing.
    """
    if encoded.isascii() and _DEL not in encoded:
        return encoded
    return _SUSPECT.sub(lambda found: _shown(found.group()), encoded.decode("utf-8")).encode()


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if number <= _HIGH:
        return f"\\u{number:04x}"
    number -= _HIGH + 1
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


class PrintableStream:
    """A terminal stream that passes only printable text and line ends.

    It is the last defence between a command's output and the terminal: commands use
    ``printable`` for untrusted text, and this catches what they missed. It is used for terminals
    only; output to a file or a pipe is not changed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        self._stream.write(printable_lines(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        """Delegate everything else to the stream."""
        return getattr(self._stream, name)


def plural(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}" + "s" * (count != 1)
