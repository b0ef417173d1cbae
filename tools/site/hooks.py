"""What mkdocs calls while it builds the site: the dialect, and links out of docs/."""

import posixpath
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

sys.path.insert(0, str(Path(__file__).parent))
from dialect import for_python_markdown
from links import Repository, path_of, shown_at

_ROOT = Path(__file__).parents[2]
_SHOWN = "---\nsearch:\n  exclude: true\nhide: [toc]\n---\n"
"""A page that shows a file is not searched: its words are not the documents'."""


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each file outside docs/ that a page links to."""
    pages = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for path, text in Repository(_ROOT).outside(pages).items():
        page = File.generated(config, shown_at(path), content=_SHOWN + text)
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page as Python-Markdown is to read it, with links that lead somewhere."""
    path = posixpath.normpath(path_of(page.file.src_uri))
    return for_python_markdown(Repository(_ROOT).rewritten(markdown, path))
