"""The pauses between a worker's processes."""

import asyncio

import pytest

from sidecar.runtime.workers.restarts import RESTARTS, STEADY_SECONDS, RestartPauses


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [RESTARTS.pause_seconds(failures + 1, 0.0) for failures in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 10.0
    assert 0.4 < RESTARTS.pause_seconds(4, 0.999) < 0.41, (
        "workers that ended together do not restart together"
    )


class Clock:
    """Time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("lived_seconds", "pauses"),
    [
        ([0, 0, 0], [0.2, 0.4, 0.8]),
        ([STEADY_SECONDS - 0.1] * 2, [0.2, 0.4]),
        ([0, 0, STEADY_SECONDS, 0], [0.2, 0.4, 0.1, 0.2]),
    ],
    ids=["at once", "early", "a steady one in between"],
)
def test_pauses_grow_while_processes_end_early(
    lived_seconds: list[float], pauses: list[float]
) -> None:
    clock = Clock()
    own = RestartPauses(clock, asyncio.sleep, lambda: 0.0)
    for lived, pause in zip(lived_seconds, pauses, strict=True):
        own.started()
        clock.now += lived
        assert own.next_seconds() == pytest.approx(pause)


async def forever(_seconds: float) -> None:
    await asyncio.Event().wait()


async def test_a_drain_ends_the_pause() -> None:
    over = asyncio.Event()
    faults: list[Exception] = []
    own = RestartPauses(Clock(), forever, lambda: 0.0)
    waiting = asyncio.ensure_future(own.wait(over, faults.append))
    await asyncio.sleep(0)
    assert not waiting.done()
    over.set()
    await asyncio.wait_for(waiting, 5)
    assert faults == []


async def test_a_defect_is_reported_and_the_longest_pause_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def jitter() -> float:
        raise LookupError("a defect")

    monkeypatch.setattr(
        "sidecar.runtime.workers.restarts.RESTARTS", RESTARTS._replace(max_seconds=0.01)
    )
    faults: list[Exception] = []
    await RestartPauses(Clock(), forever, jitter).wait(asyncio.Event(), faults.append)
    assert [type(each) for each in faults] == [LookupError]
