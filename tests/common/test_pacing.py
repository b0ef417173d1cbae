"""Many that wait for one result are woken a few in each turn of the event loop."""

import asyncio
from collections import deque

import pytest

from sidecar.common.pacing import WAKES_A_TURN, settle_paced


def waiting(count: int) -> list[asyncio.Future[int]]:
    return [asyncio.get_running_loop().create_future() for _ in range(count)]


def done(futures: list[asyncio.Future[int]]) -> int:
    return sum(future.done() for future in futures)


@pytest.mark.parametrize("count", [0, 1, WAKES_A_TURN, WAKES_A_TURN + 1, 3 * WAKES_A_TURN - 1])
async def test_so_many_a_turn_and_no_more(count: int) -> None:
    futures = waiting(count)
    settle_paced(deque((future, number) for number, future in enumerate(futures)))
    for turn in range(1, 5):
        assert done(futures) == min(count, turn * WAKES_A_TURN)
        await asyncio.sleep(0)
    assert [future.result() for future in futures] == list(range(count))


async def test_who_no_longer_waits_costs_no_turn_of_the_others() -> None:
    futures = waiting(3 * WAKES_A_TURN)
    for future in futures[: 2 * WAKES_A_TURN]:
        future.cancel()
    settle_paced(deque((future, 1) for future in futures))
    assert done(futures[2 * WAKES_A_TURN :]) == WAKES_A_TURN
    assert all(future.cancelled() for future in futures[: 2 * WAKES_A_TURN])


async def test_who_comes_meanwhile_is_woken_after_the_others() -> None:
    queue: deque[tuple[asyncio.Future[int], int]] = deque((each, 1) for each in waiting(5))
    settle_paced(queue)
    (late,) = waiting(1)
    queue.append((late, 2))
    assert await asyncio.wait_for(late, 5) == 2
    assert not queue
