"""What the operator reads of the configuration: what is in force, and why a newer one is not."""

from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Ask, At, Mark
from sidecar.runtime.reload.panel import RELOAD, RESTART, reload_panel
from tests.runtime.reload.conftest import Reloading
from tests.runtime.reload.test_reloader import API


async def test_what_is_in_force(reloading: Reloading) -> None:
    panel = reload_panel(reloading.reloader, "/etc/sidecar.yaml", Ask(2000.0))
    facts = dict(panel.facts)
    assert (facts["file"], facts["in force or confirmed"]) == ("/etc/sidecar.yaml", At(1000.0))
    assert (panel.findings, panel.actions) == ((), (RELOAD, RESTART))


async def test_a_refusal_and_its_end(reloading: Reloading) -> None:
    reloading.write({"csp: api": "csp: nowhere"})
    for moment in (1100.0, 1200.0):
        reloading.now = moment
        await reloading.reloader.reload()
    panel = reload_panel(reloading.reloader, "f", Ask(2000.0))
    (finding,) = panel.findings
    assert (finding.severity, finding.part, finding.since) == (Severity.WARNING, "config", 1100.0)
    assert "routes[3].csp" in finding.wrong
    assert "sidecar config check" in finding.do
    (table,) = panel.tables
    assert [row[:2] for row in table.rows] == [
        (At(1200.0), Mark("invalid", Severity.WARNING)),
        (At(1100.0), Mark("invalid", Severity.WARNING)),
    ]
    reloading.now = 1300.0
    reloading.write({API: "{name: new, path_prefix: /api}"})
    await reloading.reloader.reload()
    panel = reload_panel(reloading.reloader, "f", Ask(2000.0))
    assert panel.findings == ()
    assert panel.tables[0].rows[0][1:3] == (Mark("applied"), "routes[api], routes[new]")


async def test_what_needs_a_restart_says_so(reloading: Reloading) -> None:
    reloading.write({}, "listen: {drain_seconds: 9}")
    await reloading.reloader.reload()
    (finding,) = reload_panel(reloading.reloader, "f", Ask(2000.0)).findings
    assert "with a restart" in finding.do


async def test_warnings_are_listed(reloading: Reloading) -> None:
    reloading.reloader.warnings.found = ("line 3: hardly meant",)
    tables = reload_panel(reloading.reloader, "f", Ask(2000.0)).tables
    assert tables[1].rows == (("line 3: hardly meant",),)
