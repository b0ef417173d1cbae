"""The documentation as a site: built by mkdocs from its own environment, and read back."""

import os
import re
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
MKDOCS = ROOT / ".venv/site/bin/mkdocs"
NO_MKDOCS = "no mkdocs: `make test` installs it, and so does `make site`"
_COUNTED = frozenset({"li", "ol", "ul", "table", "tr", "td", "th", "pre", "h1", "h2", "h3", "h4"})
_LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
    "form": "action",
}
_LOADED_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch"}


def build(into: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    """Run mkdocs as ``make site`` does, and return what it said and its exit status.

    Without ``--quiet``: that hides warnings from ``strict`` too.
    """
    return subprocess.run(
        [MKDOCS, "build", "--config-file", config, "--site-dir", into],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


class Shown(NamedTuple):
    """What a reader sees of a page: how many of each element, and the text without spaces."""

    elements: Counter[str]
    text: str


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.text: list[str] = []
        self.loads: list[str] = []
        self._in_permalink = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _COUNTED:
            self.elements[tag] += 1
        if given.get(_LOADS.get(tag, ""), ""):
            self.loads.append(given[_LOADS[tag]])
        if tag == "link" and set(given.get("rel", "").split()) & _LOADED_RELATIONS:
            self.loads.append(given["href"])
        self._in_permalink = tag == "a" and given.get("class") == "headerlink"

    def handle_endtag(self, tag: str) -> None:
        self._in_permalink = self._in_permalink and tag != "a"

    def handle_data(self, data: str) -> None:
        if not self._in_permalink:
            self.text.append(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    return reader


def _shown(html: str) -> Shown:
    reader = _read(html)
    return Shown(reader.elements, re.sub(r"\s+", "", "".join(reader.text)))


def as_commonmark(page: str) -> Shown:
    """Return what GitHub, an editor, and everybody who reads CommonMark shows of a page."""
    return _shown(MarkdownIt("commonmark", {"html": True}).enable("table").render(page))


def as_built(html: str) -> Shown:
    """Return what the site shows of a page, without what the theme puts around it."""
    return _shown(html[html.index("<article") : html.index("</article>")])


def loads_of(html: str) -> list[str]:
    """Return every address from which a page loads something."""
    return _read(html).loads
