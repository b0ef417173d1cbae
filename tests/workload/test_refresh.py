"""The loop that keeps something fresh, with a clock that obeys."""

import asyncio
import logging

import pytest

from workload.errors import Fault
from workload.refresh import RefreshLoop


class Busy(Fault):
    retry_after_seconds = 90.0


class Counted(RefreshLoop):
    what = "the thing"

    def __init__(self) -> None:
        self.now, self.loads, self.ended = 0.0, 0, False
        self.fails: Exception | None = None
        super().__init__(lambda: self.now, lambda: 0.0)

    async def load(self) -> None:
        self.loads += 1
        if self.fails is not None:
            raise self.fails
        self.due = self.now + 60

    def pause_after_failure(self) -> float:
        return 5.0 * self.failures_in_a_row

    def has_ended(self) -> bool:
        return self.ended


async def test_a_step_is_made_when_it_is_due() -> None:
    loop = Counted()
    await loop.step()
    loop.now = 59
    await loop.step()
    assert loop.loads == 1
    loop.now = 60
    await loop.step()
    assert loop.loads == 2


@pytest.mark.parametrize(
    ("fault", "pauses"),
    [(Fault("away"), [5, 10, 15]), (ValueError("x"), [5, 10, 15]), (Busy("later"), [90, 90, 90])],
)
async def test_after_failures_it_waits_as_long_as_it_was_asked_to(
    fault: Exception, pauses: list[float]
) -> None:
    loop = Counted()
    loop.fails = fault
    for pause in pauses:
        await loop.step()
        assert loop.due - loop.now == pause
        loop.now = loop.due
    loop.fails = None
    await loop.step()
    assert loop.failures_in_a_row == 0


async def test_the_first_failure_and_each_after_the_end_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    loop = Counted()
    loop.fails = ValueError("with something private")
    for ended in (False, False, True, True):
        loop.ended = ended
        await loop.step()
        loop.now = loop.due
    loop.fails = None
    await loop.step()
    assert [each.levelname for each in caplog.records] == ["WARNING", "ERROR", "ERROR", "INFO"]
    assert caplog.messages[0] == "the thing was not refreshed: ValueError"
    assert caplog.messages[-1] == "the thing is fresh again"


async def test_soon_wakes_a_loop_that_sleeps() -> None:
    loop = Counted()
    task = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        for expected in (1, 2):
            while loop.loads < expected:
                await asyncio.sleep(0)
            loop.soon()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
