"""Links out of docs/: every file of the repository that a page names gets a page of its own.

The site is whole without the repository and without a network: a link to ``../envoy/edge.yaml``
leads to a page that shows the file, and one to ``../envoy/README.md`` to that page.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_CODE = re.compile(r"(`+[^`]+`+)")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_LANGUAGES = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
    ".json": "json",
    ".toml": "toml",
    ".sql": "sql",
    ".h": "c",
    ".c": "c",
}
_MOST_COLOURED = 40_000
"""Characters of a file that is shown in colours: a lexer takes a second for ten times that."""
_MOST_SHOWN = 200_000
"""Bytes of a file that is shown at all: what is larger is a lock file's."""
SHOWN_UNDER = "source/"
"""Where on the site the pages of files are that are not in docs/."""


def shown_at(path: str) -> str:
    """Return the page, relative to docs/, that shows a file or folder of the repository."""
    if path == "docs" or path.startswith("docs/"):
        return path.removeprefix("docs").removeprefix("/") or "index.md"
    return f"{SHOWN_UNDER}{path}.md"


def path_of(uri: str) -> str:
    """Return the file of the repository that a page of the site shows."""
    if uri.startswith(SHOWN_UNDER):
        return uri.removeprefix(SHOWN_UNDER).removesuffix(".md")
    return f"docs/{uri}"


def with_links(page: str, change: Callable[[str], str]) -> str:
    """Return a page with each link's target changed, except in code."""
    lines, fence = [], ""
    for line in page.splitlines(keepends=True):
        found = _FENCE.match(line)
        if found and (not fence or found[1].startswith(fence)):
            fence = "" if fence else found[1]
        lines.append(line if fence or found else _line_with_links(line, change))
    return "".join(lines)


def _line_with_links(line: str, change: Callable[[str], str]) -> str:
    parts = _CODE.split(line)
    # A link's text may be code; its target is outside it, and follows in the next part.
    return "".join(
        part if at % 2 else _LINK.sub(lambda found: found[1] + change(found[2]) + found[3], part)
        for at, part in enumerate(parts)
    )


def targets(page: str) -> list[str]:
    """Return the targets of a page's links."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    with_links(page, note)
    return found


class Repository:
    """The files of the repository, as pages link to them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, target: str, page: str) -> str | None:
        """Return the path in the repository that a link of a page means; none elsewhere."""
        name = target.partition("#")[0]
        if not name or "://" in name or name.startswith("mailto:"):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), name))
        if path.startswith("../") or not (self._root / path).exists():
            return None
        if (self._root / path / "README.md").is_file():
            return f"{path}/README.md"
        return path

    def rewritten(self, page: str, path: str) -> str:
        """Return a page, that of ``path``, whose links lead to pages of the site."""
        here = posixpath.dirname(shown_at(path)) or "."

        def change(target: str) -> str:
            found = self.resolve(target, path)
            if found is None or (found.startswith("docs/") and path.startswith("docs/")):
                return target
            _, mark, anchor = target.partition("#")
            return posixpath.relpath(shown_at(found), here) + mark + anchor

        return with_links(page, change)

    def outside(self, pages: dict[str, str]) -> dict[str, str]:
        """Return the paths outside docs/ that pages link to, each with its page's text.

        Pages of Markdown are followed; what a folder has is listed, and each of its files shown.
        """
        found: dict[str, str] = {}
        waiting = list(pages.items())
        while waiting:
            path, text = waiting.pop()
            for target in targets(text):
                linked = self.resolve(target, path)
                if linked is None or linked.startswith("docs/") or linked in found:
                    continue
                found[linked] = self._text(linked)
                if linked.endswith(".md") or (self._root / linked).is_dir():
                    waiting.append((linked, found[linked]))
        return found

    def _text(self, path: str) -> str:
        file = self._root / path
        if file.is_dir():
            folder = posixpath.basename(path)
            lines = [f"- [{name}]({folder}/{name})" for name in self._names(file)]
            return "\n".join([f"# {path}/", "", *lines, ""])
        size = file.stat().st_size
        if size > _MOST_SHOWN or b"\0" in file.read_bytes():
            return f"# {path}\n\n{size} bytes, in the repository.\n"
        text = file.read_text(encoding="utf-8")
        if path.endswith(".md"):
            return text
        kind = _LANGUAGES.get(file.suffix, "text") if len(text) < _MOST_COLOURED else "text"
        fence = "`" * (max([2, *map(len, re.findall(r"`+", text))]) + 1)
        return f"# {path}\n\n{fence}{kind}\n{text.rstrip()}\n{fence}\n"

    def _names(self, folder: Path) -> Iterator[str]:
        for each in sorted(folder.iterdir()):
            if not each.name.startswith((".", "__")) and each.name not in {"build", "dist"}:
                yield each.name
