"""When a worker is killed for what it does not do."""

import pytest

from sidecar.runtime.workers.liveness import (
    LANE_STALL_MS,
    MAX_BEHIND_HEARTBEATS,
    MAX_START_HEARTBEATS,
    MAX_UNSENT_BYTES,
    Liveness,
)

FINE = {"lane_stalled_ms": LANE_STALL_MS - 1, "applied_newest": True, "unsent_bytes": 0}


def beat(live: Liveness, count: int, **changes: int) -> list[str]:
    """Count heartbeats of a worker that serves; return why to kill it after each."""
    return [live.serving(**{**FINE, **changes}) for _ in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("silent", "changes", "reason"),
    [
        (False, {}, ""),
        (True, {}, "does not reply"),
        (False, {"applied_newest": False}, "does not acknowledge its keys"),
        (False, {"lane_stalled_ms": LANE_STALL_MS}, "starts none of the queued signature checks"),
        (True, {"lane_stalled_ms": LANE_STALL_MS}, "starts none of the queued signature checks"),
        (True, {"applied_newest": False}, "does not reply"),
    ],
)
def test_it_is_killed_after_so_many_missed_heartbeats(
    silent: bool, changes: dict[str, int], reason: str
) -> None:
    live = Liveness()
    if silent:
        live.next_request()
    reasons = beat(live, MAX_BEHIND_HEARTBEATS, **changes)
    assert reasons == [""] * (MAX_BEHIND_HEARTBEATS - 1) + [reason]


def test_one_reply_in_time_starts_the_count_again() -> None:
    live = Liveness()
    number = live.next_request()
    assert beat(live, MAX_BEHIND_HEARTBEATS - 1)[-1] == ""
    live.take_answer(number)
    beat(live, 1)
    live.next_request()
    assert beat(live, MAX_BEHIND_HEARTBEATS)[-2:] == ["", "does not reply"]


@pytest.mark.parametrize(
    ("unsent_bytes", "reason"),
    [(MAX_UNSENT_BYTES, ""), (MAX_UNSENT_BYTES + 1, "does not read its channel")],
)
def test_what_it_does_not_read_is_bounded_at_once(unsent_bytes: int, reason: str) -> None:
    assert beat(Liveness(), 1, unsent_bytes=unsent_bytes) == [reason]


def test_a_start_has_its_own_bound() -> None:
    live = Liveness()
    reasons = [live.starting() for _ in range(MAX_START_HEARTBEATS)]
    assert reasons[-2:] == ["", "did not start to serve in time"]


def test_an_answer_to_an_older_request_leaves_the_newest_open() -> None:
    live = Liveness()
    assert not live.is_request_open
    first, second = live.next_request(), live.next_request()
    live.take_answer(second)
    live.take_answer(first)
    assert live.answered == second
    assert not live.is_request_open
    live.next_request()
    assert live.is_request_open
