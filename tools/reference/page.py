"""What every page of the reference has, and how Markdown's tables are written."""

from collections.abc import Iterable, Sequence


def page(title: str, source: str, introduction: str, body: Iterable[str]) -> str:
    """Return a page; ``source`` says what it is written from, for who wants to change it."""
    mark = f"<!-- Written by `make reference` from {source}: change that, not this page. -->"
    head = f"# {title}\n{mark}"
    paragraphs = (" ".join(each.split()) for each in introduction.split("\n\n"))
    return "\n\n".join([head, *paragraphs, *body]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def sentence(text: str) -> str:
    """Return a description as a sentence: a capital at its beginning, a stop at its end."""
    text = " ".join(text.split())
    if not text:
        return ""
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!", ":")) else ".")


def _cell(text: str) -> str:
    return " ".join(text.replace("\\|", "|").replace("|", "\\|").split())
