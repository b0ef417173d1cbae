"""The site is built without a warning, shows what is written, and loads nothing from elsewhere."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import NO_CHROMIUM, PROGRAM, chromium
from tests.docs.site_build import (
    MKDOCS,
    NO_MKDOCS,
    ROOT,
    as_built,
    as_commonmark,
    build,
    loads_of,
)

PAGES = sorted((ROOT / "docs").rglob("*.md"))
KNOWN_IN_THE_THEME = {
    "https://unpkg.com/resize-observer-polyfill",  # for browsers of before 2020
    "https://unpkg.com/mermaid",  # for pages with diagrams in that language: there are none
    "https://api.github.com",  # for sites with a repo_url: it is not set
    "https://clipboardjs.com",  # a comment
}

pytestmark = pytest.mark.skipif(not MKDOCS.exists(), reason=NO_MKDOCS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def built_at(site: Path, page: Path) -> Path:
    name = page.relative_to(ROOT / "docs").with_suffix(".html")
    return site / (name.with_name("index.html") if page.name == "README.md" else name)


def test_each_page_shows_what_commonmark_makes_of_it(site: Path) -> None:
    for page in PAGES:
        shown = as_built(built_at(site, page).read_text())
        written = as_commonmark(page.read_text())
        assert shown.elements == written.elements, page.name
        assert shown.text == written.text, page.name


def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":  # served at any depth, from the root
            continue
        for target in re.findall(r'<a [^>]*href="([^"#]+)', page.read_text()):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_nothing_is_loaded_from_another_origin(site: Path) -> None:
    for page in site.rglob("*.html"):
        elsewhere = [each for each in loads_of(page.read_text()) if re.match(r"(\w+:)?//", each)]
        assert elsewhere == [], page
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text()) == []
    for script in (site / "assets/javascripts").glob("*.js"):
        named = set(re.findall(r"https?://[a-z.]+(?:/[a-z-]+)?", script.read_text()))
        assert {each for each in named if not each.startswith("http://www.w3.org")} <= {
            each for each in named if any(each.startswith(known) for known in KNOWN_IN_THE_THEME)
        }


SEARCH = """words => {
  const query = document.querySelector("[data-md-component=search-query]");
  query.focus();
  query.value = words;
  query.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
  const found = [...document.querySelectorAll(".md-search-result__item a")];
  return found.length > 0 && found.map(each => each.href);
}"""
"""Searches as somebody who types, as often as it takes: the index may still be loading."""


@pytest.fixture(scope="module")
def browser_page(site: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page of the site, read from the disk, and every address that it asks for."""
    if PROGRAM is None:
        pytest.skip(NO_CHROMIUM)
    with sync_playwright() as playwright, chromium(playwright.chromium, (), ()) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)  # beside other tests the index takes its time
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "keys.html").as_uri())
        yield page, asked


def test_it_is_read_and_searched_from_the_disk(browser_page: tuple[Page, list[str]]) -> None:
    page, asked = browser_page
    found = page.wait_for_function(SEARCH, arg="pseudonyms", polling=250).json_value()
    assert any("/audit.html" in each for each in found)
    assert [each for each in asked if not each.startswith(("file:", "data:", "blob:"))] == []


WIDE = ("configuration", "operations", "reasons", "architecture", "source/envoy/edge.yaml")


@pytest.mark.parametrize("width", [420, 1280])
def test_no_page_is_wider_than_the_screen(
    site: Path, browser_page: tuple[Page, list[str]], width: int
) -> None:
    page, _ = browser_page
    page.set_viewport_size({"width": width, "height": 900})
    for name in WIDE:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width, name


def test_what_is_wrong_ends_the_build(tmp_path: Path) -> None:
    """A page in no navigation, a page that is not there, and a link and an anchor to nothing."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Home\n[none](none.md) [anchor](#none)\n")
    (docs / "stray.md").write_text("# Stray\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        textwrap.dedent(f"""\
        INHERIT: {ROOT / "mkdocs.yml"}
        docs_dir: docs
        hooks: []
        extra_css: []
        nav: [{{Home: index.md}}, {{Absent: absent.md}}]
        """)
    )
    done = build(tmp_path / "site", config)
    assert done.returncode == 1
    for said in ("stray.md", "'absent.md' is included", "'none.md'", "link '#none'"):
        assert said in done.stdout + done.stderr
