"""What polled secrets count, as Prometheus reads it."""

import pytest

from sidecar.common.errors import Fault
from sidecar.sds.secrets.metrics import polled_families
from sidecar.sds.secrets.source import VersionedValue
from tests.sds.secrets.test_poller import World, fails


def shown(world: World) -> dict[tuple[str, ...], float]:
    """Every sample of the source ``a``: its name, and its labels beside kind and name."""
    return {
        (
            sample.name.removeprefix("septem_secret_"),
            *list(sample.labels.values())[2:],
        ): sample.value
        for family in polled_families(world.poller, lambda: world.now)
        for sample in family.samples
        if (sample.labels["kind"], sample.labels["name"]) == ("trust_bundle", "a")
    }


async def test_before_the_first_read_there_is_no_age_and_no_end() -> None:
    world = World()
    assert {key[0] for key in shown(world)} == {"state"}


async def test_a_secret_that_is_read_and_then_is_not() -> None:
    world = World()
    world.source.next = lambda: VersionedValue("one", "1", 60.0, ends_at=5000.0)
    await world.poller.load()
    world.now += 25.0
    before = shown(world)
    assert before["age_seconds",] == 25.0
    assert before["ends_timestamp_seconds",] == 5000.0
    assert before["reads_total", "ok"] == 1.0
    assert {key[1]: value for key, value in before.items() if key[0] == "state"}["fresh"] == 1.0
    world.source.next = fails(Fault("Vault is away"))
    await world.pass_until(1200.0)
    after = shown(world)
    states = {key[1]: value for key, value in after.items() if key[0] == "state"}
    assert (states["fresh"], states["stale"], sum(states.values())) == (0.0, 1.0, 1.0)
    assert after["reads_total", "Fault"] >= 1.0
    assert after["age_seconds",] == pytest.approx(world.now - 1000.0), "since it was last read"


async def test_a_secret_without_an_end_shows_none() -> None:
    world = World()
    await world.poller.load()
    assert ("ends_timestamp_seconds",) not in shown(world)
