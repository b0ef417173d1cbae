"""The operator's page: everything escaped, nothing may run."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from sidecar.csp.reports.page import report_routes
from sidecar.csp.reports.store import Seen
from sidecar.transport.http1_messages import Request
from tests.csp.reports.bodies import GOOD
from tests.csp.reports.test_intake import DrivenIntake

EVIL = "<script>alert(1)</script>\"'&\ud800"
GET = Request("GET", "/csp", "", b"")


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def page(driven: DrivenIntake) -> tuple[str, str]:
    answer = report_routes(driven.store, driven.intake)["GET", "/csp"](GET)
    assert not hasattr(answer, "__await__")
    return answer.body.decode(), dict(answer.headers)["content-security-policy"]


def test_what_was_sent_stands_there_as_text() -> None:
    driven = DrivenIntake()
    driven.send(*GOOD["legacy"])
    driven.store.add(Seen(0.0, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, "d", "c"))
    text, _ = page(driven)
    assert "https://evil.example" in text
    parser = Tags()
    parser.feed(text)
    assert "script" not in parser.tags
    assert parser.attributes == {"lang", "charset", "class", "scope"}


def test_its_policy_allows_its_one_style_and_nothing_else() -> None:
    text, policy = page(DrivenIntake())
    (style,) = re.findall(r"<style>(.*?)</style>", text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert policy.endswith("sandbox")


def test_the_json_has_the_same() -> None:
    driven = DrivenIntake()
    driven.send(*GOOD["legacy"])
    answer = report_routes(driven.store, driven.intake)["GET", "/csp/reports"](GET)
    assert b'"blocked": "https://evil.example"' in answer.body  # type: ignore[union-attr]
