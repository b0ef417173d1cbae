"""Moments, lengths of time, marks, links, buttons and tables, as HTML."""

import pytest

from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.html import Html
from sidecar.admin.page.values import (
    NOTHING,
    Drawing,
    draw,
    duration,
    moment,
    pager,
    path_of,
    table,
)
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Action, Ask, At, Mark, PanelLink, Span, Table, Value
from tests.admin.page.test_html import HOSTILE, parsed

NOW = 1_795_000_000.0
DRAWING = Drawing(NOW, FormTokens(b"k" * 32), "keys")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.4, "0 s"), (1, "1 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
        (3660, "1 h 1 min"), (3661, "1 h 1 min"), (86_400, "1 d"), (90_000, "1 d 1 h"),
        (86_460, "1 d"), (-5, "-5 s"), (1e12, "very long"), (float("inf"), "very long"),
        (float("nan"), "very long"),
    ],
)  # fmt: skip
def test_a_length_of_time(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (NOW - 12, "11:06:28 UTC, 12 s ago"),
        (NOW + 60, "11:07:40 UTC, in 1 min"),
        (NOW - 86_400 * 3, "2026-11-15 11:06 UTC, 3 d ago"),
        (None, "—"),
        (float("inf"), "—"),
        (-1e18, "—"),
        (float("nan"), "—"),
    ],
)
def test_a_moment_is_utc_and_its_age(seconds: float | None, text: str) -> None:
    assert parsed(moment(seconds, NOW)).text == text


@pytest.mark.parametrize(
    ("value", "html"),
    [
        (None, NOTHING),
        ("", NOTHING),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (12345, "12,345"),
        (1.50, "1.5"),
        (Span(61), "1 min 1 s"),
        (Mark("held"), '<span class="mark ok">held</span>'),
        (Mark("x", Severity.CRITICAL), '<span class="mark critical">x</span>'),
        (PanelLink("a<b", "refusals", (("id", 'x"&'),)),
         '<a href="/page/refusals?id=x%22%26">a&lt;b</a>'),
        ("a<b", "a&lt;b"),
    ],
)  # fmt: skip
def test_values(value: Value, html: Html) -> None:
    assert draw(value, DRAWING) == html


def test_a_button_is_a_form_with_its_token() -> None:
    found = parsed(draw(Action("renew", "Renew", "edge"), DRAWING))
    fields = {dict(found.attributes).get("name")}
    assert fields == {"token"}
    assert ("value", DRAWING.tokens.token("renew", "edge")) in found.attributes
    assert ("action", "/page/do") in found.attributes
    assert ("method", "post") in found.attributes


def test_what_cant_be_taken_back_is_asked_for_first() -> None:
    found = parsed(draw(Action("revoke", "Revoke …", "edge", "for good"), DRAWING))
    assert ("action", "/page/confirm") in found.attributes
    assert ("method", "get") in found.attributes
    assert "token" not in dict(found.attributes).values()


COLUMNS = (("name", "Name"), ("count", "Count"), ("ends", "Ends"))


def long_table(rows: int, found: int) -> Table:
    return Table("t", "T", COLUMNS, tuple((f"n{n}", n, At(NOW)) for n in range(rows)), found,
                 is_paged=True)  # fmt: skip


def test_a_table_has_a_head_and_a_label_for_each_cell() -> None:
    found = parsed(table(long_table(2, 2), DRAWING))
    assert found.tags.count("tr") == 3
    labels = [value for name, value in found.attributes if name == "data-label"]
    assert labels == ["Name", "Count", "Ends"] * 2


def test_a_brief_table_has_the_chosen_columns() -> None:
    found = parsed(table(long_table(1, 1), DRAWING, ("name", "ends")))
    assert [value for name, value in found.attributes if name == "data-label"] == ["Name", "Ends"]


def test_an_empty_table_is_a_sentence() -> None:
    assert parsed(table(long_table(0, 0), DRAWING)).text == "None."


@pytest.mark.parametrize(
    ("query", "found", "text", "links"),
    [
        ({}, 20_000, "1 to 50 of 20,000", ["/page/keys?page=2"]),
        ({"page": "2", "q": "a&b"}, 120, "51 to 100 of 120",
         ["/page/keys?page=1&q=a%26b", "/page/keys?page=3&q=a%26b"]),
        ({"page": "40"}, 20_000, "1,951 to 2,000 of 20,000", ["/page/keys?page=39"]),
        ({}, 50, "1 to 50 of 50", []),
    ],
)  # fmt: skip
def test_pages_of_a_long_table(
    query: dict[str, str], found: int, text: str, links: list[str]
) -> None:
    drawn = parsed(pager(long_table(50, found), Ask(NOW, query), DRAWING))
    assert text in drawn.text
    hrefs = [value or "" for name, value in drawn.attributes if name == "href"]
    assert [sorted(each.split("?")[1].split("&")) for each in hrefs] == [
        sorted(each.split("?")[1].split("&")) for each in links
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_value_becomes_markup(text: str) -> None:
    values: list[Value] = [
        text, Mark(text), PanelLink(text, "keys", ((text, text),)), Action("renew", text, text),
        Action("revoke", text, text, text),
    ]  # fmt: skip
    for value in values:
        found = parsed(draw(value, DRAWING))
        assert set(found.tags) <= {"span", "a", "form", "input", "button"}
        assert not any(name.startswith("on") for name, _ in found.attributes)
        links = [shown for name, shown in found.attributes if name in {"href", "action"}]
        assert all(str(each).startswith("/page") for each in links)
    query = {"q": text, "page": "2"}
    assert "script" not in parsed(pager(long_table(1, 500), Ask(NOW, query), DRAWING)).tags


def test_a_path_has_only_what_was_asked() -> None:
    assert path_of("") == "/page"
    assert path_of("keys", {"q": "", "page": "2"}, ".json") == "/page/keys.json?page=2"
    assert path_of("keys", {"q": "\ud800"}) == "/page/keys?q=%3F"
