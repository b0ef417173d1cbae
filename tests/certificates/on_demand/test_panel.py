"""What the operator reads of names on demand: of twenty thousand, those that fail come first."""

import logging
import time
from collections.abc import Iterable

import pytest

from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.status import status_of
from sidecar.admin.page.values import Drawing
from sidecar.admin.page.views import About, panel_page
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.name_table import Entry
from sidecar.certificates.on_demand.panel import NamesView, names_panel
from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import VAULT, Ask, At, Mark, Panel
from tests.support.managed_world import Nobody
from tests.support.on_demand_world import World as OnDemandWorld
from workload.x509.material import Material

NAMES = 20_000
MAX_MILLISECONDS = 100.0


async def no_sleep(_seconds: float) -> None: ...


class World:
    """Names and their certificates. The entries' clock is 4,000 s behind the wall's."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        store = CertificateStore(lambda: 5000.0)
        self.manager = CertificateManager(
            (), store, now=lambda: 5000.0, sleep=no_sleep, jitter=lambda: 0.0
        )
        self.registry = PollStatus("domains", "the registry", logging.getLogger("test"))

    def add(self, key: str, not_after: float | None, tenant: str = "t1") -> Entry:
        entry = Entry(key, Registration(key, tenant))
        self.entries.append(entry)
        if not_after is not None:
            managed = ManagedCertificate(Order(key, (key,)), Nobody())
            managed.material = Material(b"", b"", (key,), "1", 0.0, not_after)
            managed.try_at = not_after - 100.0
            self.manager._held[key] = managed
        return entry

    def fail(self, key: str, at: float, detail: str, **more: object) -> None:
        entry = self.add(key, None)
        entry.failures, entry.failing_since, entry.detail = 1, at, detail
        entry.refused, entry.retry_at = "order_failed", at + 60.0
        for name, value in more.items():
            setattr(entry, name, value)

    def view(self, entries: Iterable[Entry] | None = None) -> NamesView:
        chosen = self.entries if entries is None else entries
        return NamesView(chosen, self.manager, self.registry, {"domain_unknown": 3}, 2, 1000.0)

    async def panel(self, **query: str) -> Panel:
        return await names_panel(self.view(), Ask(5000.0, query))


async def test_what_fails_comes_first_then_what_ends_first() -> None:
    world = World()
    world.add("late.example", 9000.0)
    world.add("soon.example", 6000.0)
    world.add("new.example", None)
    world.fail("bad.example", 940.0, "the CA refuses: CAA")
    panel = await world.panel()
    assert [row[0] for row in panel.tables[0].rows] == [
        "bad.example", "new.example", "soon.example", "late.example",
    ]  # fmt: skip
    assert panel.summary == "4 names: 1 being obtained, 1 not obtained, 2 served."
    bad, new, soon, _ = panel.tables[0].rows
    assert bad[1:7] == (
        "t1", Mark("not obtained", Severity.WARNING), None, "ordered when it is asked for",
        At(5000.0), "the CA refuses: CAA",
    )  # fmt: skip
    assert new[2] == Mark("being obtained", Severity.INFO)
    assert soon[2:6] == (Mark("served"), At(6000.0), "renew", At(5900.0))
    assert dict(panel.facts) == {"orders under way": 2, "denied: domain_unknown": 3}


async def test_orders_that_fail_are_one_finding_with_the_last_words() -> None:
    world = World()
    world.add("good.example", 9000.0)
    world.fail("a.example", 900.0, "older words")
    world.fail("b.example", 950.0, "the CA refuses: CAA")
    (finding,) = (await world.panel()).findings
    assert (finding.part, finding.since, finding.cause) == ("on-demand/orders", 4900.0, "")
    for words in ("2 of 3 names", "'b.example'", "the CA refuses: CAA"):
        assert words in finding.wrong


async def test_vaults_outage_is_the_cause_where_all_fail_by_it() -> None:
    world = World()
    world.fail("a.example", 900.0, "no answer", is_outage=True)
    assert [each.cause for each in (await world.panel()).findings] == [VAULT]


async def test_names_that_wait_for_the_limits_are_another_finding() -> None:
    world = World()
    world.fail("a.example", 900.0, "too fast", refused="orders_too_fast")
    (finding,) = (await world.panel()).findings
    assert (finding.part, finding.since) == ("on-demand/limits", 4900.0)


async def test_a_renewal_that_fails_is_said_while_the_name_is_served() -> None:
    world = World()
    world.add("a.example", 9000.0)
    managed = world.manager.get("a.example")
    assert managed is not None
    managed.failed("the CA is away", 4800.0, is_outage=False)
    panel = await world.panel()
    assert [each.part for each in panel.findings] == ["on-demand/renewals"]
    assert panel.tables[0].rows[0][2] == Mark("served, renewal fails", Severity.WARNING)


async def test_the_registry_that_cant_be_read() -> None:
    world = World()
    world.registry.failed(ConnectionError())
    assert [each.part for each in (await world.panel()).findings] == ["domains"]


async def test_a_search_by_name_tenant_or_state() -> None:
    world = World()
    world.add("a.example", 9000.0, "Acme")
    world.add("b.example", 8000.0, "Umbrella")
    world.fail("c.example", 900.0, "no")
    for search, names in (("a.exa", ["a.example"]), ("UMBR", ["b.example"]),
                          ("not obtained", ["c.example"]), ("none", [])):  # fmt: skip
        panel = await world.panel(q=search)
        assert [row[0] for row in panel.tables[0].rows] == names
        assert panel.summary.startswith("3 names")


async def test_a_configured_certificate_that_covers_names_is_not_among_them() -> None:
    world = World()
    assert (await names_panel(world.view([Entry("edge", None)]), Ask(0.0))).summary == (
        "No name is asked for yet."
    )


async def test_a_real_order_that_fails_says_why_and_one_that_succeeds_ends_it() -> None:
    real = OnDemandWorld()
    real.register("a.example")
    real.ca.failing = ConnectionError("x")  # type: ignore[assignment]
    await real.get("a.example")
    (entry,) = real.on_demand.entries()
    assert entry.failures == 1
    assert entry.failing_since == real.now
    assert entry.detail
    real.ca.failing = None
    real.now += 10_000
    await real.get("a.example")
    (entry,) = real.on_demand.entries()
    assert entry.failures == 0
    assert entry.failing_since is None


@pytest.fixture(scope="module")
def many() -> World:
    world = World()
    for number in range(NAMES):
        if number % 1000:
            world.add(f"shop-{number}.customer-{number % 700}.example", 6000.0 + number % 9973)
        else:
            world.fail(f"shop-{number}.example", 900.0, "the CA refuses: CAA")
    return world


@pytest.mark.quiet
@pytest.mark.parametrize("query", [{}, {"page": "40"}, {"q": "customer-7"}], ids=str)
async def test_a_page_of_twenty_thousand_names_in_a_tenth_of_a_second(
    many: World, query: dict[str, str]
) -> None:
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        ask = Ask(5000.0, query)
        panel = await names_panel(many.view(), ask)
        status = status_of({}, {}, 0.0, [("on-demand", panel)])
        drawing = Drawing(5000.0, FormTokens(), "on-demand")
        page = panel_page("on-demand", panel, ask, status, About("1", "h", 0.0), drawing, None)
        took.append((time.perf_counter() - began) * 1000)
        assert len(panel.tables[0].rows) == 50
        assert b"20,000 names" in page
    assert min(took) < MAX_MILLISECONDS, took
