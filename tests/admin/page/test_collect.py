"""What the page collects: every panel, in its order, whatever one of them does."""

from sidecar.admin.page.catalog import NAMES, PANELS
from sidecar.admin.page.collect import PanelCollector
from sidecar.observability.health import Health
from sidecar.observability.panel import Ask, Collect, Panel


def made(panels: dict[str, Collect], health: Health, faults: list[Exception]) -> PanelCollector:
    return PanelCollector(panels, health, lambda: 50.0, faults.append)


async def later(ask: Ask) -> Panel:
    return Panel(f"{ask.now} {ask.rows}")


def broken(_ask: Ask) -> Panel:
    raise ZeroDivisionError("a secret")


async def breaks_later(_ask: Ask) -> Panel:
    raise LookupError("a secret")


async def test_all_panels_in_their_order() -> None:
    faults: list[Exception] = []
    panels: dict[str, Collect] = {"keys": later, "vault": lambda _ask: Panel("answers")}
    overview = await made(panels, Health(), faults).overview()
    assert tuple(name for name, _ in overview.panels) == NAMES
    found = dict(overview.panels)
    assert (found["vault"].summary, found["keys"].summary) == ("answers", "50.0 5")
    assert found["limits"].summary == next(p.absent for p in PANELS if p.name == "limits")
    assert (overview.at, overview.status.headline, faults) == (50.0, "Ready", [])


async def test_during_the_start_what_is_not_there_yet_is_not_said_to_be_unconfigured() -> None:
    health = Health(lambda: 40.0)
    health.set_unhealthy("start", "waits for Vault")
    overview = await made({}, health, []).overview()
    assert {panel.summary for _, panel in overview.panels} == {"Not started yet."}
    assert overview.status.findings[0].finding.since == 40.0


async def test_a_defect_of_one_panel_is_said_and_hides_no_other() -> None:
    for defect in (broken, breaks_later):
        faults: list[Exception] = []
        panels: dict[str, Collect] = {"keys": defect, "vault": later}
        overview = await made(panels, Health(), faults).overview()
        found = dict(overview.panels)
        assert found["vault"].summary == "50.0 5"
        assert [each.part for each in found["keys"].findings] == ["panel/keys"]
        assert "secret" not in str(found["keys"])
        assert len(faults) == 1


def test_every_panel_has_a_name_for_paths() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in NAMES)
