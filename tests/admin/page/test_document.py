"""The JSON twin has what the page has."""

import json

import pytest

from sidecar.admin.page.document import moment, panel_document, status_document
from sidecar.admin.page.status import status_of
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Action,
    At,
    Mark,
    Panel,
    PanelFinding,
    PanelLink,
    Span,
    Table,
)

FINDING = PanelFinding(Severity.WARNING, "keys/i", "can't be read", 60.0, "mend it", "vault")
PANEL = Panel(
    "1 key.",
    (FINDING,),
    (("state", Mark("outage", Severity.WARNING)), ("age", Span(2.5)), ("none", None), ("n", 3)),
    (
        Table(
            "keys",
            "Keys",
            (("kid", "kid"), ("ends", "Ends"), ("story", "Story"), ("renew", "")),
            (("a<b", At(0.0), PanelLink("x", "refusals"), Action("renew", "Renew", "a")),),
            40,
        ),
    ),
    (Action("refresh", "Read"),),
)
SHOWN = {
    "severity": "warning", "part": "keys/i", "wrong": "can't be read",
    "since": "1970-01-01T00:01:00+00:00", "do": "mend it",
}  # fmt: skip


def test_a_panel_as_json() -> None:
    assert json.loads(json.dumps(panel_document(PANEL))) == {
        "summary": "1 key.",
        "severity": "warning",
        "findings": [SHOWN],
        "facts": {"state": "outage", "age": 2.5, "none": None, "n": 3},
        "tables": {
            "keys": {
                "found": 40,
                "rows": [{"kid": "a<b", "ends": "1970-01-01T00:00:00+00:00", "story": "x"}],
            }
        },
    }


def test_the_first_page_as_json() -> None:
    vault = Panel("", (FINDING._replace(part="vault", cause=""),))
    panels = [("vault", vault), ("keys", PANEL)]
    document = status_document(status_of({}, {}, 0.0, panels), panels)
    assert document["ready"] is True
    assert document["since"] == "1970-01-01T00:00:00+00:00"
    (found,) = document["findings"]
    assert (found["panel"], found["part"], found["follows"]) == ("vault", "vault", [SHOWN])
    assert list(document["panels"]) == ["vault", "keys"]
    assert json.dumps(document)


@pytest.mark.parametrize("seconds", [None, float("inf"), float("nan"), 1e20, -1e20])
def test_a_moment_of_no_calendar_is_null(seconds: float | None) -> None:
    assert moment(seconds) is None
