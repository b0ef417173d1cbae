"""The pictures of the documents say what they show, in the dark too, and what is so."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from demo.cases import Case, Minter, build_cases
from sidecar.common.reasons import ANSWERS, Reason
from sidecar.config.keys import Keys
from sidecar.config.listen import AdminListen, AuthzListen, SdsListen
from sidecar.config.reports import ReportsListen
from sidecar.config.tokens import Tokens

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
DRAWN = ("where-it-sits.svg", "life-of-a-request.svg", "life-of-a-key.svg", "demo.svg")
SVG = "{http://www.w3.org/2000/svg}"
NOW = 1_795_000_000


def texts_of(name: str) -> list[str]:
    """Return the texts of a picture, in the order in which it has them."""
    return [each.text or "" for each in ET.parse(IMAGES / name).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_stands_alone_and_has_a_dark_side(name: str) -> None:
    text = (IMAGES / name).read_text()
    root = ET.fromstring(text)
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None, "for a reader that hears it"
    assert len(desc.text or "") > len(title.text or "") > 0
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|href=|@import|url\((?!#)", text), "nothing from elsewhere"


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_stays_in_its_frame(name: str) -> None:
    root = ET.parse(IMAGES / name).getroot()
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    for each in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(each.attrib[a]) for a in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    for each in root.iter(f"{SVG}text"):
        assert 0 < float(each.attrib["y"]) <= height


@pytest.mark.parametrize("name", DRAWN)
def test_a_page_that_shows_it_says_it_in_words(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = [alt for page in pages for alt in alts(page.read_text(), name)]
    assert shown
    assert all(len(alt.split()) > 20 for alt in shown)


def alts(page: str, name: str) -> list[str]:
    return re.findall(rf"!\[([^\]]*)\]\([^)]*images/{re.escape(name)}\)", page)


def test_the_ports_are_the_defaults() -> None:
    drawn = set(re.findall(r":(\d{4}) ", " ".join(texts_of("where-it-sits.svg"))))
    listens = (AuthzListen(), SdsListen(), AdminListen(), ReportsListen())
    assert drawn == {each.address.rpartition(":")[2] for each in listens}


def test_the_exits_of_a_request_are_reasons_with_their_status() -> None:
    texts = texts_of("life-of-a-request.svg")
    known = {str(reason): str(ANSWERS[reason].status) for reason in Reason}
    seen = set()
    for statuses, reasons in pairwise(texts):
        if not re.match(r"\d{3}", statuses):
            continue
        for name in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", reasons.replace("x_tenant_id", "")):
            assert known[name] in statuses, name
            seen.add(name)
    assert len(seen) > 10


def test_the_times_of_a_key_are_the_defaults() -> None:
    text = " ".join(texts_of("life-of-a-key.svg"))
    keys, tokens = Keys(), Tokens(issuers=())
    lives = tokens.max_lifetime_seconds
    assert f"keys.poll_seconds: {keys.poll_seconds:g}" in text
    assert f"({lives:g} s + {tokens.leeway_seconds:g} s)" in text
    assert f"{lives + tokens.leeway_seconds:g} s" in text
    assert f"{keys.max_age_seconds / 86400:g} days" in text
    assert f"{keys.when_degraded} (the default)" in text


def cases() -> dict[str, Case]:
    key, publisher = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return {case.name: case for case in build_cases(Minter(key, NOW), publisher)}


def test_the_terminal_shows_rows_of_the_demo() -> None:
    texts = texts_of("demo.svg")
    played = cases()
    rows = [texts[i : i + 5] for i, text in enumerate(texts) if text in played]
    assert len(rows) >= 12
    for name, status, reason, seen, verdict in rows:
        case = played[name]
        assert (status, verdict) == (str(case.status), "ok"), name
        assert reason == (case.reason or "answered by Envoy"), name
        if case.tenant is ...:
            assert seen == "not reached", name
        else:
            assert seen == ("no tenant" if case.tenant is None else f"tenant {case.tenant[:8]}…")
    rest, total = len(played) - len(rows), len(played)
    assert f"… {rest} more rows" in texts
    assert any(text.startswith(f"{total} of {total} rows") for text in texts)
