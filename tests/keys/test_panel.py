"""What the operator reads of keys and revocations: each issuer's, and what is wrong."""

import pytest

from sidecar.config import model
from sidecar.keys.key_set import SkippedKey, SkipReason
from sidecar.keys.panel import keys_panel, revocations_panel
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.rotation import Statement
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Ask, At, Mark, Panel
from tests.keys.test_metrics import Source
from tests.support.minting import Issuer

DAY = 86_400.0


class Skipping(Source):
    """A source that lists a key that can't be used."""

    async def fetch(self) -> Statement:
        statement = await super().fetch()
        return statement._replace(skipped=(SkippedKey("odd", SkipReason.UNUSABLE, "it is odd"),))


class World:
    """Two issuers; the clocks differ, so that no time is taken for the other's."""

    def __init__(self) -> None:
        self.monotonic = 10.0
        self.one, self.two = Issuer.generate("a", name="one"), Issuer.generate("b", name="two")
        self.sources = [Skipping("one", self.one.key), Source("two", self.two.key)]
        self.refresher = KeyRefresher(
            self.sources,
            model.Keys(),
            token_seconds={each.issuer: 930 for each in self.sources},
            clock=lambda: self.monotonic,
            now=lambda: self.wall,
            jitter=lambda: 0.0,
            publish=lambda _view: None,
            on_state=lambda *_change: None,
        )

    @property
    def wall(self) -> float:
        return self.monotonic + 5000.0

    def panel(self) -> Panel:
        return keys_panel(self.refresher, self.monotonic, Ask(self.wall))


@pytest.fixture
async def world() -> World:
    made = World()
    await made.refresher.load()
    return made


async def test_each_key_with_its_issuer_and_state(world: World) -> None:
    world.monotonic += 7
    panel = world.panel()
    assert (panel.summary, panel.findings) == ("2 keys verify, of 2 issuers.", ())
    keys, sources, skipped = panel.tables
    assert keys.rows == (
        ("a", "one", "ES256", Mark("listed"), None),
        ("b", "two", "ES256", Mark("listed"), None),
    )
    read = At(5010.0)
    assert sources.rows[0] == ("one", "one", Mark("active"), read, At(5010.0 + 7 * DAY), "")
    assert skipped.rows == (("odd", "one", "unusable", "it is odd"),)


async def test_a_replaced_key_and_until_when_it_verifies(world: World) -> None:
    world.sources[1].keys = (Issuer.generate("c", name="two").key,)
    await world.refresher.refresh()
    keys = world.panel().tables[0]
    replaced = next(row for row in keys.rows if row[0] == "b")
    assert replaced[3:] == (Mark("replaced", Severity.INFO), At(5010.0 + 930))


async def test_a_source_that_cant_be_read(world: World) -> None:
    world.sources[1].fails = True
    await world.refresher.refresh()
    panel = world.panel()
    (finding,) = panel.findings
    assert (finding.severity, finding.part) == (Severity.WARNING, "keys/two")
    assert "no answer" in finding.wrong
    assert dict(panel.facts)["state"] == Mark("outage", Severity.WARNING)


async def test_keys_that_are_too_old_are_critical_since_the_day_they_became_so(
    world: World,
) -> None:
    world.sources[1].fails = True
    world.monotonic += 8 * DAY
    await world.refresher.refresh()
    panel = world.panel()
    finding = panel.findings[0]
    assert (finding.severity, finding.part) == (Severity.CRITICAL, "degraded/two")
    assert "8.0 days" in finding.wrong
    assert finding.since == pytest.approx(5010.0 + 7 * DAY)


async def test_an_issuer_without_a_key_that_verifies(world: World) -> None:
    world.monotonic += 100
    world.refresher.revoke(frozenset({"b"}))
    panel = world.panel()
    (finding,) = panel.findings
    assert (finding.severity, finding.part) == (Severity.CRITICAL, "no-keys/two")
    assert finding.since == 5110.0
    assert "key_unknown" in finding.wrong


async def test_more_keys_than_a_ring_may_hold(world: World) -> None:
    world.sources[0].keys = tuple(world.one.key._replace(kid=f"k{number}") for number in range(300))
    await world.refresher.refresh()
    panel = world.panel()
    assert [each.part for each in panel.findings] == ["key-ring"]


def test_before_the_start_is_over_nothing_is_wrong() -> None:
    world = World()
    assert keys_panel(world.refresher, 0.0, Ask(0.0)).findings == ()


async def test_revocations() -> None:
    now, source = [10.0], Source("Vault entry secret/iam/revocations")
    poller = RevocationPoller(
        source, poll_seconds=10, max_age_seconds=100, clock=lambda: now[0], jitter=lambda: 0.0,
        publish=lambda *_what: None, on_state=lambda *_change: None,
    )  # fmt: skip
    await poller.load()
    panel = revocations_panel(poller, 10.0, Ask(5010.0))
    assert (panel.summary, panel.findings) == ("2 revocations are in force.", ())
    assert panel.tables[0].rows == (("k1",), ("k2",))
    facts = dict(panel.facts)
    assert (facts["kids"], facts["last read"]) == (2, At(5010.0))
    source.fails, now[0] = True, 200.0
    await poller.refresh()
    found = revocations_panel(poller, 200.0, Ask(5200.0)).findings
    assert [each.part for each in found] == ["revocations", "revocations"]
    assert found[0].severity is Severity.CRITICAL
    assert found[0].since == 5110.0


def test_without_revocations_it_says_so() -> None:
    assert "Not configured" in revocations_panel(None, 0.0, Ask(0.0)).summary
