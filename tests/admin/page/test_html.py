"""Nothing that comes from outside becomes markup, in any place of a page."""

from html.parser import HTMLParser

import pytest

from sidecar.admin.page.html import MAX_TEXT, Html, element, joined, prose, shown

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "</title><b>",
    "&lt;script&gt;",
    "<!-- ",
    "]]><svg/onload=alert(1)>",
    "\x00\x1b[2J\u202e\u2066\ud800<b>",
    "`<i>`",
    "javascript:alert(1)",
)


class Tags(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_text(text: str) -> None:
    for html in (shown(text), joined([text]), element("p", text), prose(f"a {text} b")):
        assert set(parsed(html).tags) <= {"p", "code"}
        assert html.encode()


@pytest.mark.parametrize("text", HOSTILE)
def test_an_attribute_is_one_attribute(text: str) -> None:
    found = parsed(element("input", value=text, title=text))
    assert found.tags == ["input"]
    assert [name for name, _ in found.attributes] == ["value", "title"]


def test_what_steers_a_reader_is_written_as_an_escape() -> None:
    assert shown("a\u202eb\x1b\n") == "a\\u202eb\\u001b\\u000a"


def test_html_and_text_joined_by_hand_is_text_again() -> None:
    bold = element("b", "x")
    assert shown(bold) == "<b>x</b>"
    assert shown(bold + "<i>") == "&lt;b&gt;x&lt;/b&gt;&lt;i&gt;"
    assert shown(f"{bold}") == "&lt;b&gt;x&lt;/b&gt;"


def test_elements_and_their_attributes() -> None:
    assert element("br") == "<br>"
    assert element(
        "i", 12_345, None, class_="n", data_at="1", hidden=True, id=None, open=False
    ) == ('<i class="n" data-at="1" hidden>12,345</i>')
    assert element("input", name="q") == '<input name="q">'


def test_a_long_text_is_cut() -> None:
    assert len(shown("x" * (2 * MAX_TEXT))) == MAX_TEXT


def test_code_stands_between_two_backticks() -> None:
    assert prose("say `ls` now") == "say <code>ls</code> now"
    assert prose("`a` and ` alone") == "<code>a</code> and ` alone"
    assert isinstance(prose(""), Html)
