"""How long the sentences of the documents are: ``python -m tests.support.sentences`` reports it.

A sentence ends with a full stop, a question or an exclamation mark and white space. In a table's
cell a semicolon ends one too: there it stands between facts. Code counts as one word; blocks of
code, pictures and addresses of links do not count.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "envoy/README.md", "workload/README.md",
    "bench/README.md", "examples/tenants/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)  # fmt: skip
MAX_WORDS = 30
MAX_MEAN = 18.0
_END = re.compile(r"""(?<=[.!?])["”')\]]*\s+""")
_END_IN_CELL = re.compile(r"""(?<=[.!?])["”')\]]*\s+|;\s+""")
_WORD = re.compile(r"[^\W_](?:[\w'.,/\u2019-]*\w)?")
_CODE = "code"
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Sentence(NamedTuple):
    """One sentence of a page, with its code as the word ``code``."""

    line: int
    text: str

    @property
    def words(self) -> int:
        """How many words it has."""
        return len(_WORD.findall(self.text))


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a page in their order. A single word, as in a cell, is none."""
    is_cell = False
    for token in _MARKDOWN.parse(text):
        if token.type in {"td_open", "th_open", "td_close", "th_close"}:
            is_cell = token.nesting > 0
        if token.type != "inline" or token.map is None:
            continue
        for part in (_END_IN_CELL if is_cell else _END).split(_read(token)):
            sentence = Sentence(token.map[0] + 1, part)
            if sentence.words > 1:
                yield sentence


def too_long(text: str) -> list[Sentence]:
    """Return the sentences that have more words than one idea needs."""
    return [each for each in sentences(text) if each.words > MAX_WORDS]


def mean_words(text: str) -> float:
    """Return how many words a sentence of a page has on average; 0 for a page without any."""
    counts = [each.words for each in sentences(text)]
    return sum(counts) / max(1, len(counts))


def _read(inline: Token) -> str:
    return "".join(
        {"text": each.content, "code_inline": _CODE, "softbreak": " ", "hardbreak": " "}.get(
            each.type, ""
        )
        for each in inline.children or ()
    )


def report() -> str:
    """Return a line for each page, the longest sentences on average first."""
    rows = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        longest = max((each.words for each in sentences(text)), default=0)
        rows.append((mean_words(text), longest, len(too_long(text)), page))
    head = f"{'mean':>5} {'longest':>8} {f'over {MAX_WORDS}':>8}  page"
    lines = (f"{mean:5.1f} {longest:8} {over:8}  {page}" for mean, longest, over, page in rows)
    return "\n".join([head, *sorted(lines, reverse=True)])


if __name__ == "__main__":
    print(report())  # noqa: T201 - a report for who writes the pages
