"""What the operator reads of CSP reports: what was blocked most often comes first."""

from sidecar.csp.reports.panel import reports_panel
from sidecar.csp.reports.store import Seen
from sidecar.observability.panel import Ask, At
from tests.csp.reports.test_intake import DrivenIntake


def seen(directive: str, at: float, tenant: str = "") -> Seen:
    return Seen(at, tenant, "https://app", directive, "inline", "enforce", "", "d", "c")


async def test_the_most_frequent_comes_first() -> None:
    driven = DrivenIntake()
    for directive, at in (("img-src", 1.0), ("script-src", 2.0), ("script-src", 4.0)):
        driven.store.add(seen(directive, at))
    panel = await reports_panel(driven.store, driven.intake, Ask(9.0))
    (table,) = panel.tables
    assert [row[:2] for row in table.rows] == [(2, "script-src"), (1, "img-src")]
    assert table.rows[0][-2:] == (At(2.0), At(4.0))
    assert "no evidence" in panel.summary


async def test_a_search() -> None:
    driven = DrivenIntake()
    driven.store.add(seen("img-src", 1.0, "Acme"))
    driven.store.add(seen("script-src", 1.0))
    panel = await reports_panel(driven.store, driven.intake, Ask(9.0, {"q": "acme"}))
    assert [row[1] for row in panel.tables[0].rows] == ["img-src"]
