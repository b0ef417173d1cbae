"""The pages: what they say, and that nothing from outside becomes markup in any place of them."""

import pytest

from sidecar.admin.action_log import OperatorAction
from sidecar.admin.page.assets import SCRIPT, STYLE
from sidecar.admin.page.catalog import NAMES
from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.status import Status, status_of
from sidecar.admin.page.values import Drawing
from sidecar.admin.page.views import About, confirm_page, first_page, panel_page, plain_page
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Action, Ask, Panel, PanelFinding
from tests.admin.page.hostile import hostile_panel
from tests.admin.page.test_html import HOSTILE, Tags, parsed

ABOUT = About("1.2.3", "edge-7", 100.0)
DRAWING = Drawing(1000.0, FormTokens(b"k" * 32))
TAGS = {
    "html", "head", "meta", "title", "style", "script", "body", "a", "header", "span", "nav",
    "main", "footer", "time", "b", "i", "section", "h1", "h2", "h3", "p", "article", "dl", "dt",
    "dd", "details", "summary", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td",
    "form", "input", "button", "code",
}  # fmt: skip
Panels = list[tuple[str, Panel]]


def status(panels: Panels, problems: dict[str, str] | None = None) -> Status:
    problems = problems or {}
    return status_of(problems, dict.fromkeys(problems, 940.0), 940.0, panels)


def first(panels: Panels, problems: dict[str, str] | None = None) -> str:
    return first_page(status(panels, problems), panels, ABOUT, DRAWING, None).decode()


def harmless(html: bytes) -> Tags:
    """Return a page's parts, once it is sure that it has no others than ours."""
    found = parsed(html.decode())
    assert set(found.tags) <= TAGS
    assert found.tags.count("script") <= 1
    assert found.tags.count("style") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    links = [value or "" for name, value in found.attributes if name in {"href", "action"}]
    assert all(each.startswith(("/page", "#")) for each in links)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_no_field_of_any_view_becomes_markup(text: str) -> None:
    panel = hostile_panel(text)
    panels: Panels = [(name, panel) for name in NAMES]
    state = status(panels, {"start": text, text: text})
    about = About(text, text, 0.0)
    done = OperatorAction(1, 2.0, text, text, False, text)
    named = DRAWING._replace(panel="keys")
    ask = Ask(1000.0, {"q": text, text: text, "page": "2"})
    harmless(first_page(state, panels, about, DRAWING, done))
    harmless(panel_page("keys", panel, ask, state, about, named, done))
    harmless(confirm_page(Action("revoke", text, text, text), state, about, named))
    harmless(plain_page(text))


def test_style_and_script_stand_there_as_they_are() -> None:
    """Their hashes are what the policy allows; neither can be ended by its own text."""
    page = first([])
    assert f"<style>{STYLE}</style>" in page
    assert f"<script>{SCRIPT}</script>" in page
    assert "</" not in STYLE + SCRIPT
    assert "://" not in STYLE + SCRIPT, "nothing from elsewhere"


WRONG = PanelFinding(Severity.WARNING, "vault", "Vault does not answer.", 880.0, "Unseal `it`.")
FOLLOWS = PanelFinding(Severity.WARNING, "keys/i", "Keys can't be read.", 890.0, "-", "vault")


def test_the_banner_says_what_is_wrong_since_when_and_what_to_do() -> None:
    page = first([("vault", Panel("down", (WRONG,))), ("keys", Panel("1 key", (FOLLOWS,)))])
    text = parsed(page).text
    banner = text[text.index("Ready, and something needs you", text.index("Overview")) :]
    said = ["Vault does not answer.", "Since", "00:14:40 UTC, 2 min ago", "What to do",
            "Unseal it.", "Because of this, too: keys/i", "Keys can't be read."]  # fmt: skip
    places = [banner.index(each) for each in said]
    assert places == sorted(places)
    assert "<title>Ready, and something needs you · Septem Sidecar edge-7</title>" in page


def test_more_findings_follow_the_worst() -> None:
    other = PanelFinding(Severity.CRITICAL, "audit-sink", "The disk is full.", 1.0, "Make room.")
    text = parsed(first([("vault", Panel("", (WRONG,))), ("audit", Panel("", (other,)))])).text
    assert text.index("The disk is full.") < text.index("1 more thing to look at")
    assert text.index("1 more thing to look at") < text.index("Vault does not answer.")


def test_all_is_well() -> None:
    page = first([])
    assert "Nothing is wrong, as far as this sidecar can tell." in page
    assert 'class="banner ok"' in page


def test_not_ready_is_said_in_the_banner() -> None:
    page = first([], {"workers": "no worker answers Checks"})
    assert 'class="banner critical"' in page
    assert "Not ready since" in parsed(page).text
    assert 'class="banner warning"' in first([], {"start": "waits for Vault"})


def test_a_card_for_each_panel_leads_to_its_page() -> None:
    panels: Panels = [(name, Panel(f"about {name}")) for name in NAMES]
    page = first(panels)
    for name in NAMES:
        assert f'id="card-{name}"' in page
        assert f'href="/page/{name}"' in page
        assert f"about {name}" in page


def test_what_was_done_is_said_on_top() -> None:
    done = OperatorAction(3, 999.0, "user 0", "renew edge", True, "It is ordered.")
    page = first_page(status([]), [], ABOUT, DRAWING, done).decode()
    assert '<p class="notice ok" role="status">renew edge: It is ordered.</p>' in page


def test_the_question_before_an_action_has_its_warning_and_its_form() -> None:
    action = Action("revoke", "Revoke …", "edge", "It can't be taken back.")
    drawing = DRAWING._replace(panel="certificates")
    page = confirm_page(action, status([]), ABOUT, drawing)
    found = harmless(page)
    assert "Revoke edge?" in found.text
    assert "It can't be taken back." in found.text
    assert "Yes: Revoke edge" in found.text
    values = [value for name, value in found.attributes if name == "value"]
    assert values == ["revoke", "edge", "certificates", DRAWING.tokens.token("revoke", "edge")]
    assert ("href", "/page/certificates") in found.attributes


def test_a_panels_page_has_all_of_it_and_its_twin() -> None:
    panel = hostile_panel("x")
    drawing = DRAWING._replace(panel="keys")
    ask = Ask(1000.0, {"q": "a b"})
    page = panel_page("keys", panel, ask, status([]), ABOUT, drawing, None).decode()
    found = parsed(page)
    assert ("href", "/page/keys.json?q=a+b") in found.attributes
    assert ("aria-current", "page") in found.attributes
    assert ("value", "a b") in found.attributes
