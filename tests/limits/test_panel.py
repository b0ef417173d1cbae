"""What the operator reads of rate limits: who is refused the most, and whether they are shared."""

from sidecar.limits.panel import limits_panel
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Ask, Mark
from tests.limits.test_admin_routes import TENANT, Away, make


async def test_tenants_come_by_how_often_they_were_refused() -> None:
    panel = await limits_panel(make({"a": 2, "b": 5, "c": 0}), None, None, 0, Ask(0.0))
    tenants, limits, kinds = panel.tables
    assert [row[:2] for row in tenants.rows] == [("b", 5), ("a", 2), ("c", 0)]
    assert tenants.rows[0][2:] == (0, str(TENANT))
    assert limits.rows == ((str(TENANT),),)
    assert kinds.rows == (("tenant", 3, 0),)
    assert (panel.summary, panel.findings) == ("1 limit in force.", ())


async def test_a_search_finds_a_tenant() -> None:
    panel = await limits_panel(make({"acme": 1, "b": 5}), None, None, 0, Ask(0.0, {"q": "ACM"}))
    assert [row[0] for row in panel.tables[0].rows] == ["acme"]


async def test_a_store_that_is_away_is_said_with_what_happens_meanwhile() -> None:
    store = Away()
    store.status.failed(ConnectionRefusedError(111, "Connection refused"))
    panel = await limits_panel(make({}), store, None, 0, Ask(0.0))
    (finding,) = panel.findings
    assert "Connection refused" in finding.wrong
    assert dict(panel.facts)["fleet"] == Mark("each for itself", Severity.WARNING)
    store.status.succeeded()
    store.reachable = True
    panel = await limits_panel(make({}), store, None, 0, Ask(0.0))
    assert (panel.findings, dict(panel.facts)["fleet"]) == ((), Mark("shared"))
