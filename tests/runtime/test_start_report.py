"""What the start waits for is in ``/readyz`` at once and in the log every five seconds."""

import asyncio
import logging

import pytest

from sidecar.observability.health import Health
from sidecar.observability.waits import Waits
from sidecar.runtime.start_report import REPORT_SECONDS, StartReport


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.health = Health()
        self.waits = Waits(lambda: self.now)
        self.report = StartReport(self.health, self.waits, self._sleep)
        self.rounds = 0

    async def _sleep(self, seconds: float) -> None:
        assert seconds == REPORT_SECONDS == 5
        self.now += seconds
        self.rounds += 1
        if self.rounds > 3:
            raise asyncio.CancelledError

    async def run(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self.report.run()


async def test_a_wait_is_logged_every_five_seconds(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.INFO), world.waits.on("Vault at https://v to log in"):
        await world.run()
    said = "the start waits for Vault at https://v to log in (%d s)"
    assert caplog.messages == [said % seconds for seconds in (5, 10, 15)]
    assert {each.levelname for each in caplog.records} == {"WARNING"}


async def test_a_start_that_waits_for_nothing_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    await world.run()
    assert caplog.messages == []


def test_readyz_says_the_same_until_the_start_is_over() -> None:
    world = World()
    assert world.health.problems == {"start": "not started yet"}
    with world.waits.on("a lease"):
        assert world.health.problems == {"start": "waits for a lease"}
    assert world.health.problems == {"start": "not started yet"}
    world.report.done()
    assert world.health.ready
    with world.waits.on("a renewal"):
        assert world.health.ready
