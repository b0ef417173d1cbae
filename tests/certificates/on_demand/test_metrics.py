"""What is counted of names on demand, and how much of it is logged."""

import logging
import re
from pathlib import Path

import pytest

import sidecar.certificates.on_demand
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.metrics import (
    LOG_PAUSE_SECONDS,
    REASONS,
    OnDemandMetrics,
)
from sidecar.certificates.on_demand.orders import OnDemandEvents
from tests.support.on_demand_world import World

REFUSALS = "refusals_total"
ALICES = Registration("shop.example", "alice")


class Counting:
    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = OnDemandMetrics(lambda: self.now)
        self.events: OnDemandEvents = self.metrics.events()
        self.world = World()

    def shown(self) -> dict[tuple[str, ...], float]:
        return {
            (sample.name.removeprefix("septem_on_demand_"), *sample.labels.values()): sample.value
            for family in self.metrics.families(self.world.on_demand)
            for sample in family.samples
        }


@pytest.fixture
async def counting(caplog: pytest.LogCaptureFixture) -> Counting:
    caplog.set_level(logging.INFO)
    return Counting()


async def test_every_reason_is_shown_from_the_start(counting: Counting) -> None:
    refusals = {key[1]: count for key, count in counting.shown().items() if key[0] == REFUSALS}
    assert refusals == dict.fromkeys(REASONS, 0.0)


def test_every_reason_that_is_raised_is_a_label() -> None:
    folder = Path(next(iter(sidecar.certificates.on_demand.__path__)))
    raised = {
        reason
        for path in folder.glob("*.py")
        for reason in re.findall(
            r'(?:NameRefused|IssuanceRateExceeded)\("(\w+)"|\.refused = "(\w+)"', path.read_text()
        )
    }
    assert {a or b for a, b in raised} == REASONS


async def test_what_is_counted(counting: Counting) -> None:
    counting.events.refused("a.example", "domain_unknown")
    counting.events.refused("b.example", "domain_unknown")
    counting.events.obtained("shop.example", ALICES, 0.004)
    counting.events.failed("shop.example", "order_failed", "no")
    counting.events.registry_failed("shop.example", "down")
    counting.metrics.evicted(3)
    counting.metrics.evicted(2)
    counting.world.register("shop.example")
    await counting.world.get("shop.example")
    counting.world.ca.held.clear()
    counting.world.register("shop.example", "other.example")
    counting.world.ask("other.example")
    shown = counting.shown()
    expected = {
        (REFUSALS, "domain_unknown"): 2.0,
        (REFUSALS, "order_failed"): 0.0,
        ("orders_total", "ok"): 1.0,
        ("orders_total", "failed"): 1.0,
        ("order_duration_seconds_bucket", "0.002"): 0.0,
        ("order_duration_seconds_bucket", "0.005"): 1.0,
        ("order_duration_seconds_sum",): 0.004,
        ("names",): 2.0,
        ("open_orders",): 1.0,
        ("names_evicted_total",): 5.0,
        ("registry_failures_total",): 1.0,
    }
    assert {key: shown[key] for key in expected} == expected
    await counting.world.on_demand.close()


async def test_an_unknown_reason_is_no_label(counting: Counting) -> None:
    with pytest.raises(KeyError):
        counting.events.refused("a.example", "what-the-client-says")


async def test_a_line_for_each_reason_at_an_interval(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(number: int, reason: str = "domain_unknown") -> None:
        counting.events.refused(f"n{number}.example", reason)

    for number in range(100):
        refuse(number)
    refuse(0, "registry_busy")
    counting.now += LOG_PAUSE_SECONDS - 0.1
    refuse(100)
    counting.now += 0.1
    refuse(101)
    counting.now += LOG_PAUSE_SECONDS
    refuse(102)
    more = " (100 more since the last such line)"
    assert [record.getMessage() for record in caplog.records] == [
        "denied a certificate for 'n0.example': domain_unknown",
        "denied a certificate for 'n0.example': registry_busy",
        f"denied a certificate for 'n101.example': domain_unknown{more}",
        "denied a certificate for 'n102.example': domain_unknown",
    ]


async def test_a_clients_name_makes_no_line_of_its_own(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    counting.events.refused("a\n" + "x" * 300, "name_malformed")
    counting.events.registry_failed("b\r\n" + "x" * 300, "down")
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 200
