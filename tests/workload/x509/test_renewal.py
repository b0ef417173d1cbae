"""When a certificate is renewed, and when a renewal that failed is tried again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.x509.renewal import DAY_SECONDS, renew_at, retry_after

TIMES = [
    ("90 days: 30 before the end", 90 * DAY_SECONDS, 60 * DAY_SECONDS),
    ("a year: 30 before the end", 365 * DAY_SECONDS, 335 * DAY_SECONDS),
    ("30 days: at two thirds", 30 * DAY_SECONDS, 20 * DAY_SECONDS),
    ("an hour: at two thirds", 3600.0, 2400.0),
]


@pytest.mark.parametrize(("life", "at"), [t[1:] for t in TIMES], ids=[t[0] for t in TIMES])
def test_when(life: float, at: float) -> None:
    assert renew_at(1000.0, 1000.0 + life, 0.0) == pytest.approx(1000.0 + at)


@settings(deadline=None)  # a busy machine is no defect
@given(st.floats(60, 4e8), st.floats(0, 1, exclude_max=True))
def test_jitter_only_makes_it_earlier_and_never_too_early(life: float, jitter: float) -> None:
    at = renew_at(0.0, life, jitter)
    assert at <= renew_at(0.0, life, 0.0)
    assert at >= life / 2


@settings(deadline=None)  # a busy machine is no defect
@given(st.integers(1, 10_000), st.floats(0, 1e9), st.floats(0, 1, exclude_max=True))
def test_retries_back_off_and_hurry_towards_the_end(
    failures: int, left: float, jitter: float
) -> None:
    wait = retry_after(failures, left, jitter)
    assert 8.0 <= wait <= 3600.0
    assert wait <= max(10.0, left / 10)
