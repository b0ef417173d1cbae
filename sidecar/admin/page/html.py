"""HTML from values: the one place where text is escaped.

``Html`` is text that is HTML already; only ``element`` and ``joined`` make it. Everything else that
gets into a page is a plain value and is escaped, whoever it came from. Joining ``Html`` with a
plain text by ``+`` or in an f-string gives a plain text, which is escaped again: it can't be wrong
silently.
"""

from collections.abc import Iterable
from html import escape

from sidecar.common.printable import printable

_VOID = frozenset({"br", "input", "meta", "link"})
MAX_TEXT = 2048
"""A longer text is cut: a table of denials stays readable whatever a client sends."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Html | str | int | float | None
Attribute = str | int | bool | None


def shown(value: Child) -> Html:
    """Return a value as HTML: what is not HTML already is made printable, and escaped."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    if isinstance(value, int) and not isinstance(value, bool):
        return Html(f"{value:,}")
    return Html(escape(printable(value, MAX_TEXT)))


def joined(parts: Iterable[Child]) -> Html:
    """Return several values one after the other."""
    return Html("".join(map(shown, parts)))


def element(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return an element; ``class_`` is ``class``, ``data_at`` is ``data-at``.

    An attribute that is ``None`` or false is left out, one that is true has no value.
    """
    inside = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{inside}>")
    return Html(f"<{name}{inside}>{joined(children)}</{name}>")


def prose(text: str) -> Html:
    """Return sentences, in which what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # the last backtick has no other
        parts[-2:] = ["`".join(parts[-2:])]
    return joined(
        element("code", part) if number % 2 else part for number, part in enumerate(parts)
    )


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
