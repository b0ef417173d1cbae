"""Token buckets: never more than burst and rate allow, whatever the clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.token_bucket import KeyedBuckets, TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(per_second=2, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(-5, 5), max_size=60))
def test_never_more_than_the_bound(steps: list[float]) -> None:
    """A clock that jumps back and forth only counts what went forward."""
    bucket, now, forward, taken = TokenBucket(1, 5, 0), 0.0, 0.0, 0
    for step in steps:
        now += step
        forward += max(step, 0)
        taken += bucket.take(now)
    assert taken <= 5 + forward + 1e-6


def test_a_wait_is_as_long_as_it_takes_for_one_token() -> None:
    bucket = TokenBucket(per_second=0.5, burst=1, now=100)
    assert bucket.wait_seconds(100) == 0
    assert bucket.take(100)
    assert bucket.wait_seconds(100) == 2
    assert bucket.wait_seconds(101.5) == 0.5
    assert [bucket.take(101.5), bucket.take(102)] == [False, True]


def test_a_bucket_is_full_again_when_it_has_recovered() -> None:
    bucket = TokenBucket(per_second=1, burst=2, now=0)
    assert bucket.is_full(0)
    bucket.take(0)
    assert [bucket.is_full(0.5), bucket.is_full(1)] == [False, True]


def test_keys_have_buckets_of_their_own_and_the_table_a_bound() -> None:
    buckets = KeyedBuckets(per_second=1, burst=1, max_keys=3)
    assert [buckets.take("a", 0), buckets.take("a", 0), buckets.take("b", 0)] == [True, False, True]
    for number in range(1000):
        assert buckets.take(f"k{number}", 0)
    assert len(buckets) == 3


@pytest.mark.parametrize("key", ["a", "b"])
def test_the_key_not_used_for_longest_goes(key: str) -> None:
    buckets = KeyedBuckets(per_second=0.001, burst=1, max_keys=2)
    for each in ("a", "b", key, "c"):
        buckets.take(each, 0)
    assert not buckets.take(key, 0), "it was used last and its empty bucket is still there"


def test_at_another_rate_as_much_stays_spent() -> None:
    bucket = TokenBucket(1.0, 10.0, 0.0)
    assert bucket.take(0.0, 4.0)
    bucket.use(2.0, 5.0, 0.0)
    assert bucket.take(0.0)
    assert not bucket.take(0.0)
    assert bucket.wait_seconds(0.0) == 0.5


def test_a_bucket_of_a_key_takes_the_other_rate_when_it_is_used() -> None:
    buckets = KeyedBuckets(1.0, 3.0, 8)
    assert buckets.take("a", 0.0)
    buckets.use(1.0, 2.0)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert [buckets.take("b", 0.0) for _ in range(3)] == [True, True, False]
