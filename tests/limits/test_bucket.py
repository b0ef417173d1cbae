"""The arithmetic of one bucket, and of its division among processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.limits.bucket import (
    MIN_SHARE,
    SECOND_NS,
    STALE_PERIODS,
    Bucket,
    BucketDemand,
    Limit,
    divide,
)

PERIOD = 100_000_000


def limit(
    requests: int = 10, per_seconds: int = 1, burst: int = 5, *, strict: bool = False
) -> Limit:
    return Limit("tenant", "tenant", requests, per_seconds, burst, strict=strict)


def take(bucket: Bucket, now_ns: int) -> bool:
    if bucket.wait_ns(now_ns) > 0:
        return False
    bucket.spend(now_ns)
    return True


def test_the_burst_passes_at_once_and_then_the_rate() -> None:
    bucket = Bucket("k", limit())
    assert [take(bucket, 0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.wait_ns(0) == SECOND_NS // 10
    assert [take(bucket, SECOND_NS // 10) for _ in range(2)] == [True, False]
    assert bucket.room(10 * SECOND_NS) == 5, "never more than the burst"


@given(
    requests=st.integers(1, 5000),
    per_seconds=st.integers(1, 3600),
    burst=st.integers(1, 500),
    steps=st.lists(st.integers(0, 2 * SECOND_NS), min_size=1, max_size=200),
)
def test_in_no_time_more_passes_than_the_burst_and_the_rate_allow(
    requests: int, per_seconds: int, burst: int, steps: list[int]
) -> None:
    bucket = Bucket("k", limit(requests, per_seconds, burst))
    now, passed = 0, 0
    for step in steps:
        now += step
        passed += take(bucket, now)
        assert passed <= burst + now / bucket.limit.interval_ns + 1e-6
        assert 0 <= bucket.room(now) <= burst


def test_a_clock_that_stands_still_or_is_a_little_late_adds_nothing() -> None:
    bucket = Bucket("k", limit(burst=1))
    assert take(bucket, SECOND_NS)
    assert not take(bucket, SECOND_NS)
    assert not take(bucket, SECOND_NS - PERIOD)


def test_a_full_bucket_is_as_good_as_a_new_one() -> None:
    bucket = Bucket("k", limit())
    bucket.spend(0, 3)
    assert not bucket.is_full(bucket.full_at_ns - 1)
    assert bucket.is_full(bucket.full_at_ns)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, MIN_SHARE])
def test_a_share_of_the_rate_has_that_share_of_the_burst(share: float) -> None:
    whole, part = Bucket("k", limit(1000, 1, 1000)), Bucket("k", limit(1000, 1, 1000), share)
    assert part.room(0) == pytest.approx(whole.room(0) * share, abs=1)
    assert part.interval_ns == pytest.approx(whole.interval_ns / share)
    assert part.remaining(0) == whole.remaining(0), "of all processes together"


def test_another_limit_keeps_what_was_spent() -> None:
    bucket = Bucket("k", limit(10, 1, 10))
    bucket.spend(0, 5)
    bucket.set_limit(limit(20, 1, 2), 0)
    assert bucket.full_at_ns == SECOND_NS // 4, "five of twenty a second"
    assert bucket.room(0) == 0
    assert bucket.room(SECOND_NS) == 2


def test_demand_is_smoothed_and_forgotten() -> None:
    demand = BucketDemand()
    assert demand.report(1, 100, 0, PERIOD) == (100.0, 100.0)
    assert demand.report(2, 50, 0, PERIOD) == (50.0, 150.0)
    own, total = demand.report(1, 0, PERIOD, PERIOD)
    assert (own, total) == (70.0, 120.0)
    late = (STALE_PERIODS + 2) * PERIOD
    assert demand.report(2, 10, late, PERIOD) == (10.0, 10.0), "the other one has gone"


@pytest.mark.parametrize(
    ("ahead_ns", "own", "total", "strict", "share", "fair"),
    [
        pytest.param(0, 10, 20, False, 1.0, 0.25, id="room for all: each may spend it all"),
        pytest.param(0, 10, 20, True, 0.25, 0.25, id="a strict one is divided from the beginning"),
        pytest.param(90 * PERIOD, 10, 40, False, 0.25, 0.25, id="contended: by demand"),
        pytest.param(90 * PERIOD, 30, 40, True, 0.75, 0.75, id="contended and strict: by demand"),
        pytest.param(200 * PERIOD, 0, 0, False, 0.25, 0.25, id="nobody asks: alike"),
    ],
)
def test_a_rate_is_divided(
    *, ahead_ns: int, own: float, total: float, strict: bool, share: float, fair: float
) -> None:
    each = limit(10, 1, 100, strict=strict)
    assert divide(each, ahead_ns, own, total, 4) == (share, fair)


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (limit(), "tenant: 10 requests per second, burst 5"),
        (limit(1, 60, 1), "tenant: 1 request per 60 seconds, burst 1"),
    ],
)
def test_an_operator_reads_it(each: Limit, text: str) -> None:
    assert str(each) == text
