"""Medians, percentiles and turns."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import alternate, latency_row, percentile, spread, spread_row, within

SAMPLES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (1, 0.99, 1),
        (2, 0.5, 1),
        (4, 0.5, 2),
        (100, 0.5, 50),
        (100, 0.99, 99),
        (100, 0.999, 100),
        (1000, 0.99, 990),
        (1000, 0.999, 999),
        (1000, 1.0, 1000),
    ],
)
def test_the_percentile_is_the_nearest_rank(count: int, share: float, expected: int) -> None:
    samples = [float(number) for number in range(count, 0, -1)]
    assert percentile(samples, share) == expected


@given(SAMPLES, st.floats(0.001, 1))
def test_a_percentile_is_a_sample_that_enough_others_do_not_exceed(
    samples: list[float], share: float
) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(each <= found for each in samples) >= len(samples) * share - 1e-6
    assert sum(each < found for each in samples) < max(1, len(samples) * share)


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_a_percentile_of_nothing_is_refused(samples: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"no (samples|share)"):
        percentile(samples, share)


def test_one_slow_run_does_not_move_the_median() -> None:
    found = spread([10, 11, 12, 11, 500])
    assert found.median == 11
    assert list(found.quartiles) == [11, 12]
    assert found.runs == 5
    assert found.relative == pytest.approx(0.5 / 11)
    assert list(found.extremes) == [10, 500]
    assert spread_row(found) == {"median": 11, "least": 10, "most": 500, "runs": 5}
    assert spread([7]).relative == 0


def test_measures_take_turns_and_change_their_order() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return 1.0

    measures = {name: partial(measure, name) for name in "abc"}
    assert set(alternate(3, measures)) == {"a", "b", "c"}
    assert "".join(order) == "abccbaabc"


def test_turns_end_early_when_it_is_enough() -> None:
    found = alternate(9, {"a": lambda: 1.0}, lambda done: done == 2)
    assert found["a"].runs == 2


def test_a_busy_machine_gets_fewer_rounds_but_two() -> None:
    now = iter([0.0, 60.0, 90.0])
    enough = within(100.0, lambda: next(now))
    assert [enough(done) for done in (1, 2, 3)] == [False, False, True]
    slow = iter([0.0, 500.0])
    enough = within(100.0, lambda: next(slow))
    assert [enough(done) for done in (1, 2)] == [False, True]


def test_p999_needs_a_thousand_samples() -> None:
    few, many = [0.001] * 999, [*[0.001] * 998, 0.5, 0.9]
    assert latency_row(few) == {"p50_us": 1000, "p99_us": 1000}
    assert latency_row(many) == {"p50_us": 1000, "p99_us": 1000, "p999_us": 500_000}
