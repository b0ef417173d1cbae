"""What the operator reads of certificates: those that fail first, then those that end first."""

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import NEVER, ManagedCertificate
from sidecar.certificates.managed.panel import (
    CertificatesView,
    certificates_panel,
    next_step,
    renewal_findings,
)
from sidecar.certificates.managed.probe import ProbeView, Target
from sidecar.certificates.managed.renewal import Level
from sidecar.config.certificates import Probe
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import VAULT, Action, Ask, At, Mark, Panel
from sidecar.vault.errors import VaultUnreachable
from tests.support.managed_world import Nobody, World

TARGET = Target(Probe(address="127.0.0.1:8443"), "a.example")


def view(world: World, probes: dict[str, ProbeView] | None = None) -> CertificatesView:
    names = frozenset(each.name for each in world.manager)
    return CertificatesView(world.manager, names, {"edge": TARGET}, probes or {})


async def obtained(*names: str) -> World:
    world = World(*(Order(name, (f"{name}.example",)) for name in names))
    await world.manager.obtain_all()
    return world


async def panel_of(world: World, probes: dict[str, ProbeView] | None = None) -> Panel:
    return await certificates_panel(view(world, probes), Ask(world.now))


async def test_all_are_held() -> None:
    world = await obtained("edge", "api")
    panel = await panel_of(world)
    assert (panel.summary, panel.findings) == ("2 configured certificates: 2 held.", ())
    (table,) = panel.tables
    row = dict(zip([key for key, _ in table.columns], table.rows[1], strict=True))
    assert row["name"] == "edge"
    assert row["state"] == Mark("held")
    assert row["ends"] == At(3600.0)
    assert (row["next"], row["error"], row["probe"]) == ("renew", "", "not yet")
    assert row["renew"] == Action("renew", "Renew", "edge")
    assert isinstance(row["revoke"], Action)
    assert "can't be taken back" in row["revoke"].warning
    assert dict(panel.facts)["the first that ends"] == At(3600.0)


async def test_what_fails_comes_first_and_says_since_when_and_when_it_is_tried_again() -> None:
    world = await obtained("api", "edge")
    failing = world.manager.get("edge")
    assert failing is not None
    failing.failed("issuer 'internal': permission denied", 100.0, is_outage=False)
    failing.failed("issuer 'internal': still denied", 200.0, is_outage=False)
    failing.try_at = 260.0
    panel = await panel_of(world)
    assert [row[0] for row in panel.tables[0].rows] == ["edge", "api"]
    (finding,) = panel.findings
    assert (finding.severity, finding.part, finding.since) == (
        Severity.WARNING, "certificates", 100.0,
    )  # fmt: skip
    for words in ("'edge'", "2 failures", "still denied", "1970-01-01 01:00 UTC"):
        assert words in finding.wrong
    assert "1970-01-01 00:04 UTC" in finding.do
    assert "1 failed" in panel.summary


@pytest.mark.parametrize("level", [Level.CRITICAL, Level.ENDED])
async def test_what_is_near_its_end_is_critical(level: Level) -> None:
    world = await obtained("edge")
    failing = world.manager.get("edge")
    assert failing is not None
    failing.failed("no", 100.0, is_outage=False)
    failing.level = level
    (finding,) = renewal_findings("certificates", [failing], 200.0)
    assert finding.severity is Severity.CRITICAL


def test_one_that_is_not_served_says_so() -> None:
    failing = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    failing.failed("no", 100.0, is_outage=False)
    (finding,) = renewal_findings("certificates", [failing], 200.0)
    assert "not served any more" in finding.wrong
    assert finding.severity is Severity.CRITICAL


@pytest.mark.parametrize(("outages", "cause"), [((True, True), VAULT), ((True, False), "")])
async def test_many_are_one_finding_and_vaults_outage_is_its_cause(
    outages: tuple[bool, bool], cause: str
) -> None:
    world = await obtained("api", "edge")
    for managed, is_outage in zip(world.manager, outages, strict=True):
        managed.failed("no", 100.0, is_outage=is_outage)
    (finding,) = renewal_findings("certificates", list(world.manager), 200.0)
    assert "2 certificates can't be renewed" in finding.wrong
    assert finding.cause == cause


async def test_a_manager_says_whether_vault_was_the_cause() -> None:
    world = await obtained("edge")
    world.failing = VaultUnreachable("gone")
    world.manager.renew_soon("edge")
    managed = world.manager.get("edge")
    assert managed is not None
    await world._run_while(lambda: managed.failures == 0)
    assert await panel_of(world)
    (finding,) = renewal_findings("x", [managed], 0.0)
    assert (finding.cause, finding.since) == (VAULT, 0.0)
    world.failing = None
    world.manager.renew_soon("edge")
    await world._run_while(lambda: managed.failures > 0)
    assert managed.failing_since is None
    assert not managed.is_outage


async def test_a_revoked_one_is_critical_until_it_is_replaced() -> None:
    world = await obtained("edge")
    world.now = 50.0
    world.manager.revoked("edge")
    panel = await panel_of(world)
    (finding,) = panel.findings
    assert (finding.severity, finding.part, finding.since) == (
        Severity.CRITICAL, "revoked/edge", 50.0,
    )  # fmt: skip
    assert panel.tables[0].rows[0][-1] is None, "it can't be revoked again"


async def test_what_the_probe_saw() -> None:
    world = await obtained("edge")
    probes = {"edge": ProbeView(9.0, 7.0, "it serves serial 2 of CN=old")}
    panel = await panel_of(world, probes)
    (finding,) = panel.findings
    assert (finding.part, finding.since) == ("probe/edge", 7.0)
    for words in ("127.0.0.1:8443", "'edge'", "serial 2 of CN=old"):
        assert words in finding.wrong
    well = await panel_of(world, {"edge": ProbeView(9.0, 7.0, "")})
    assert well.findings == ()
    assert Mark("what was given") in well.tables[0].rows[0]


async def test_a_search_by_name_host_issuer_or_state() -> None:
    world = await obtained("api", "edge")
    for search, names in (("edge", ["edge"]), ("api.exa", ["api"]), ("HELD", ["api", "edge"]),
                          ("internal", ["api", "edge"]), ("none", [])):  # fmt: skip
        panel = await certificates_panel(view(world), Ask(world.now, {"q": search}))
        assert [row[0] for row in panel.tables[0].rows] == names


async def test_names_on_demand_are_not_among_the_configured() -> None:
    world = await obtained("edge")
    chosen = view(world)._replace(configured=frozenset())
    assert (await certificates_panel(chosen, Ask(0.0))).summary == "None."


def test_the_next_step() -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    managed.try_at = 100.0
    assert next_step(managed, 40.0) == ("renew", At(100.0))
    assert next_step(managed, 400.0) == ("renew", At(400.0))
    managed.ask_at = 90.0
    assert next_step(managed, 40.0) == ("ask the CA when to renew", At(90.0))
    managed.failures, managed.ask_at = 1, NEVER
    assert next_step(managed, 40.0) == ("try again", At(100.0))
    managed.try_at = NEVER
    assert next_step(managed, 40.0) == ("nothing is planned", None)
    managed.running = True
    assert next_step(managed, 40.0) == ("an order is under way", None)
