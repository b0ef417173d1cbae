"""The open loop: what is due when, and that no delay is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import percentile
from bench.pacing import Schedule, counters


def test_requests_are_due_at_even_distances_from_the_start() -> None:
    schedule = Schedule.lasting(100.0, rate=500.0, seconds=2.0)
    assert schedule.total == 1000
    assert schedule.due_at(0) == 100.0
    assert schedule.due_at(999) == pytest.approx(101.998)


@pytest.mark.parametrize(
    ("now", "due"), [(99.9, 0), (100.0, 1), (100.0019, 1), (100.002, 2), (101.0, 501), (500, 1000)]
)
def test_what_is_due_by_now(now: float, due: int) -> None:
    assert Schedule(100.0, 500.0, 1000).due_by(now) == due


@given(st.floats(0, 1e6), st.floats(0.1, 1e5), st.integers(1, 5000), st.floats(-1, 2))
def test_counting_and_moments_agree(start: float, rate: float, total: int, share: float) -> None:
    schedule = Schedule(start, rate, total)
    now = start + share * total / rate
    due = schedule.due_by(now)
    assert 0 <= due <= total
    assert due == 0 or schedule.due_at(due - 1) <= now
    assert due == total or schedule.due_at(due) > now


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (1, 0)])
def test_no_rate_is_no_schedule(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Schedule.lasting(0, rate, seconds)


def test_a_stall_is_counted_for_everyone_who_would_have_met_it() -> None:
    """A server that stops for a second, asked 100 times a second: a hundred were held up.

    A client that waits for its answers would have had one slow answer of that second.
    """
    schedule = Schedule(0.0, 100.0, 200)
    answered = {n: max(schedule.due_at(n) + 0.001, 1.0) for n in range(200)}
    paced = counters(schedule, {n: schedule.due_at(n) for n in range(200)}, answered, 3.0)
    assert sum(latency > 0.005 for latency in paced.latencies) == pytest.approx(100, abs=1)
    assert percentile(paced.latencies, 0.5) == pytest.approx(0.01, abs=0.01)
    assert percentile(paced.latencies, 0.25) == pytest.approx(0.001)
    assert max(paced.latencies) == 1.0


def test_latency_counts_from_when_a_request_was_due_not_from_when_it_was_sent() -> None:
    paced = counters(Schedule(0.0, 10.0, 2), {0: 0.5, 1: 0.5}, {0: 0.6, 1: 0.6}, 1.0)
    assert paced.latencies == pytest.approx([0.6, 0.5])
    assert paced.lateness == pytest.approx([0.5, 0.4])
    assert paced.unanswered == 0


def test_what_was_never_answered_or_sent_counts_to_the_end() -> None:
    paced = counters(Schedule(0.0, 10.0, 3), {0: 0.0, 1: 0.1}, {0: 0.01}, 5.0)
    assert paced.unanswered == 2
    assert paced.latencies == pytest.approx([0.01, 4.9, 4.8])
    assert paced.lateness == pytest.approx([0.0, 0.0, 4.8])
