"""What the site's hooks make of a page: Python-Markdown's dialect, and links that lead there."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
for_python_markdown: Callable[[str], str] = runpy.run_path(str(ROOT / "tools/site/dialect.py"))[
    "for_python_markdown"
]
LINKS: dict[str, Any] = runpy.run_path(str(ROOT / "tools/site/links.py"))
with_links: Callable[[str, Callable[[str], str]], str] = LINKS["with_links"]

DIALECT = {
    "a list interrupts a paragraph": ("so:\n- a\n- b\n", "so:\n\n- a\n- b\n"),
    "a table does": ("so:\n| a |\n|---|\n", "so:\n\n| a |\n|---|\n"),
    "a heading begins a list": ("# so\n- a\n", "# so\n- a\n"),
    "a level is four columns": (
        "1. a\n   - b\n     c\n",
        "1. a\n    - b\n    c\n".replace("    c", "        c"),
    ),
    "code inside an item": (
        "1. a\n\n   ```yaml\n   b:\n     c: 1\n   ```\n2. d\n",
        "1. a\n\n    ```yaml\n    b:\n      c: 1\n    ```\n\n2. d\n",
    ),
    "indented code inside an item": ("- a\n\n      code\n", "- a\n\n        code\n"),
    "a list ends where the margin is": ("- a\n\nb\n", "- a\n\nb\n"),
    "a wrapped line goes on": ("- a\nb\n- c\n", "- a\n    b\n\n- c\n"),
    "nothing in a fence is touched": (
        "```\nso:\n- a\n   - b\n```\n",
        "```\nso:\n- a\n   - b\n```\n",
    ),
    "a longer fence holds a shorter": ("````\n```\n- a\n````\n", "````\n```\n- a\n````\n"),
    "a bar in code in a row": (r"| `a \| b` | c \| d |" + "\n", r"| `a | b` | c \| d |" + "\n"),
}


@pytest.mark.parametrize(("written", "expected"), DIALECT.values(), ids=DIALECT)
def test_the_dialect(written: str, expected: str) -> None:
    assert for_python_markdown(written) == expected


def test_links_in_code_are_text() -> None:
    page = "[a](b) `[c](d)` [`e`](f#g)\n```\n[h](i)\n```\n[j](k)\n"
    assert with_links(page, str.upper) == page.replace("(b)", "(B)").replace(
        "(f#g)", "(F#G)"
    ).replace("(k)", "(K)")


REWRITTEN = {
    ("docs/keys.md", "../envoy/edge.yaml#L1"): "source/envoy/edge.yaml.md#L1",
    ("docs/keys.md", "../envoy"): "source/envoy/README.md.md",
    ("docs/keys.md", "vault.md#a"): "vault.md#a",
    ("docs/keys.md", "../nowhere.md"): "../nowhere.md",
    ("docs/keys.md", "https://example.com/a"): "https://example.com/a",
    ("docs/decisions/0002-dependencies.md", "../../README.md"): "../source/README.md.md",
    ("envoy/README.md", "edge.yaml"): "edge.yaml.md",
    ("envoy/README.md", "../docs/keys.md#a"): "../../keys.md#a",
    ("README.md", "docs/keys.md"): "../keys.md",
}


@pytest.mark.parametrize(("page", "target"), REWRITTEN)
def test_a_link_out_of_docs_leads_to_the_files_page(page: str, target: str) -> None:
    repository = LINKS["Repository"](ROOT)
    expected = f"[a]({REWRITTEN[page, target]})"
    assert repository.rewritten(f"[a]({target})", page) == expected


def test_files_that_are_linked_to_have_a_page_each(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.yaml").write_text("a: '```'\n")
    (tmp_path / "folder/picture.png").write_bytes(b"\0\1")
    (tmp_path / "folder/.hidden").write_text("secret")
    (tmp_path / "more.md").write_text("[again](docs/x.md) [folder](folder)\n")
    pages = LINKS["Repository"](tmp_path).outside({"docs/x.md": "[more](../more.md)"})
    assert pages == {
        "more.md": "[again](docs/x.md) [folder](folder)\n",
        "folder": "# folder/\n\n- [a.yaml](folder/a.yaml)\n- [picture.png](folder/picture.png)\n",
        "folder/a.yaml": "# folder/a.yaml\n\n````yaml\na: '```'\n````\n",
        "folder/picture.png": "# folder/picture.png\n\n2 bytes, in the repository.\n",
    }
