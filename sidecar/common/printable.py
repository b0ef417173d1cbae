"""Text of others, made fit for a terminal and for one line.

A name, a path or a message that came from a file, from Vault or from the network may hold
what a terminal obeys (C0, C1, DEL), what turns round how a line reads (bidirectional controls),
what nobody sees (zero-width characters), or a line's end, and with it a line that nobody wrote.
What is shown of it is its number, as JSON writes it.
"""

import re
from typing import TextIO

MAX_SHOWN = 4096
_HIGH = 0xFFFF
_DEL = b"\x7f"
_SUSPECT = re.compile(r"[^\x00-\x7e]")


def printable(text: object, max_length: int = MAX_SHOWN) -> str:
    r"""Return a text in one line: whatever is not printable as ``\u…``, and cut to length."""
    shown = str(text)
    if len(shown) > max_length:
        shown = shown[: max_length - 1] + "…"
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them printable; tabs stay."""
    return "\n".join(
        "\t".join(printable(part, len(part) + 1) for part in line.split("\t"))
        for line in text.split("\n")
    )


def escape_json(encoded: bytes) -> bytes:
    """Write as escapes what an encoded JSON text holds unescaped and no terminal should get.

    JSON must escape C0 alone. A text of ASCII costs next to nothing.
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
    """A terminal that is given nothing but printable text and line ends.

    The last thing between whatever a command prints and the terminal: commands show foreign
    text by ``printable``, and this catches what was forgotten. It stands before terminals
    alone; what goes into a file or a pipe stays as it is, byte for byte.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        self._stream.write(printable_lines(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        """Be the stream in everything else."""
        return getattr(self._stream, name)
