"""Rewrites a page from CommonMark, as it is written and shown elsewhere, to Python-Markdown.

Three differences matter to these pages. Python-Markdown begins a list, a table or a block of code
only after an empty line, and takes what is indented by four columns for each level as belonging
to an item of a list; CommonMark interrupts a paragraph, and counts from where the item's text
begins. And in a table's row, a bar within code ends the cell in CommonMark unless it is escaped.
"""

import re
from enum import Enum, auto

_ITEM = re.compile(r"( {0,3})([-*+]|\d{1,9}[.)])( {1,4})(?=\S)")
_FENCE = re.compile(r"(`{3,}|~{3,})")
_STEP = 4
"""The columns of one level in Python-Markdown."""


class _Kind(Enum):
    BLANK = auto()
    HEADING = auto()
    ITEM = auto()
    TABLE = auto()
    CODE = auto()
    TEXT = auto()


class _Page:
    """The lines that are written, and where in the lists the next one stands."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last = _Kind.BLANK
        self._items: list[int] = []
        """The column of the text of each open item, from the outermost on."""
        self._fence = ""
        self._fence_column = 0

    def add(self, line: str) -> None:
        if self._fence:
            self._in_fence(line)
        elif not line.strip():
            self._write("", _Kind.BLANK)
        else:
            self._block(line)

    def _block(self, line: str) -> None:
        column = len(line) - len(line.lstrip(" "))
        text = line[column:]
        kind = _kind(text)
        if kind is _Kind.TEXT and self.last in {_Kind.TEXT, _Kind.ITEM}:
            self._write(text, _Kind.TEXT)
            return
        while self._items and column < self._items[-1]:
            self._items.pop()
        inside = line[self._items[-1] if self._items else 0 :]
        found = _ITEM.match(inside)
        if found:
            self._item(found, inside)
        elif inside.startswith("    "):
            self._write(inside, _Kind.CODE)
        elif fence := _FENCE.match(text):
            self._fence, self._fence_column = fence[1], column
            self._write(text, _Kind.CODE)
        else:
            self._write(_in_cells(text) if kind is _Kind.TABLE else text, kind)

    def _item(self, found: re.Match[str], inside: str) -> None:
        own = self._items[-1] if self._items else 0
        self._write(f"{found[2]} {inside[found.end() :]}", _Kind.ITEM)
        self._items.append(own + found.end())

    def _in_fence(self, line: str) -> None:
        text = line.strip()
        begin = line[: self._fence_column].strip()
        self.lines.append(self._indent() + begin + line[self._fence_column :])
        if text.startswith(self._fence) and not text.strip(self._fence[0]):
            self._fence = ""

    def _write(self, text: str, kind: _Kind) -> None:
        if self._needs_blank(kind):
            self.lines.append("")
        self.lines.append(self._indent() + text if text else "")
        self.last = kind

    def _needs_blank(self, kind: _Kind) -> bool:
        if self.last in {_Kind.BLANK, _Kind.HEADING} or kind in {_Kind.BLANK, self.last}:
            return False
        return {self.last, kind} != {_Kind.TEXT, _Kind.ITEM} or self.last is _Kind.TEXT

    def _indent(self) -> str:
        return " " * (_STEP * len(self._items))


def _kind(text: str) -> _Kind:
    if re.match(r"#{1,6} ", text):
        return _Kind.HEADING
    if _ITEM.match(text):
        return _Kind.ITEM
    if text.startswith("|"):
        return _Kind.TABLE
    return _Kind.CODE if _FENCE.match(text) else _Kind.TEXT


def _in_cells(row: str) -> str:
    r"""Return a table's row with ``\|`` in code as ``|``, which ends no cell in Python-Markdown."""
    return re.sub(r"`[^`]+`", lambda code: code[0].replace(r"\|", "|"), row)


def for_python_markdown(page: str) -> str:
    """Return a page of CommonMark so that Python-Markdown shows the same."""
    written = _Page()
    for line in page.splitlines():
        written.add(line)
    return "\n".join(written.lines) + "\n"
