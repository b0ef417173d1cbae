"""What a process exchanges about its buckets, and what becomes of them under another policy."""

import pytest

from sidecar.limits.bucket import Limit
from sidecar.limits.buckets import SLICE, Share, SpendReport
from sidecar.limits.limiter import CountedRequest, RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from tests.limits.test_limiter import (
    BY_TENANT,
    LIMITS,
    OWN,
    REQUEST,
    ROUTE,
    TENANT,
    make,
    rooms,
)


def test_a_reload_keeps_what_was_spent_where_the_identity_is_the_same() -> None:
    """The limit of tokens goes, that of addresses is another, the others are as before."""
    limiter = make()
    limiter.take(LIMITS, REQUEST, 0)
    known = {
        each.identity: each for each in (TENANT, Limit("address", "address", 10, 1, 30), ROUTE)
    }
    limiter.use_policy(LimitsPolicy({"r": LIMITS}, RouteLimits(), known, {}), 0)
    assert rooms(limiter) == {"tenant": 4, "address": 29, "route": 3}
    limiter.use_policy(LimitsPolicy({}, RouteLimits(), {"tenant": OWN}, {}), 0)
    assert rooms(limiter) == {"tenant": 49}


def test_a_report_has_what_was_asked_since_the_last_one() -> None:
    limiter = make(shared=True)
    for _ in range(7):
        limiter.take_tenant(BY_TENANT, "a", 0)
    limiter.take_tenant(BY_TENANT, "b", 0)
    assert limiter.report(1) == [SpendReport("tenant|a", 7, 2)]
    assert limiter.report(9) == [SpendReport("tenant|b", 1, 0)]
    assert limiter.report(9) == []


def test_shares_are_taken_with_what_was_spent_meanwhile() -> None:
    limiter = make(shared=True)
    limiter.take_tenant(BY_TENANT, "a", 0)
    limiter.report(9)
    limiter.take_tenant(BY_TENANT, "a", 0)
    limiter.apply([Share("tenant|a", 100_000_000, 0.5, 0.25), Share("tenant|x", 0, 1, 1)], 0)
    (bucket,) = limiter.buckets()
    assert bucket.full_at_ns == 100_000_000 + 200_000_000, "a half of the rate: two intervals"
    assert (bucket.share, bucket.fair_share) == (0.5, 0.25)


def test_without_other_processes_nothing_is_kept_for_a_report() -> None:
    limiter = make()
    for number in range(100):
        limiter.take_tenant(BY_TENANT, f"{number}", 0)
    assert limiter.report(9) == []


@pytest.mark.parametrize("key", ["", "tenant", "nothing|a", "route/other|a", "tenant|" + "a" * 600])
def test_a_key_of_no_limit_is_charged_to_nobody(key: str) -> None:
    limiter = make()
    assert limiter.charge(SpendReport(key, 1, 0), 0, 0) is None
    assert limiter.buckets() == []


def test_another_secret_forgets_logins_only() -> None:
    limiter = make()
    limiter.take_tenant(BY_TENANT, "a", 0)
    limiter.use_secret(b"l" * 32)
    assert [each.key for each in limiter.buckets()] == ["tenant|a"]


def test_what_waits_to_be_reported_is_bounded_and_a_busy_key_is_reported_all_the_same() -> None:
    known = {each.identity: each for each in (TENANT,)}
    policy = LimitsPolicy({}, RouteLimits(), known, {})
    limiter = RateLimiter(policy, b"k" * 32, max_keys=100, shared=True)
    for number in range(1000):
        limiter.take_tenant(BY_TENANT, "busy", number)
        limiter.take_tenant(BY_TENANT, f"invented-{number}", number)
    reports = limiter.report(10_000)
    assert len(reports) <= 102
    assert "tenant|busy" in {each.key for each in reports}


def test_many_buckets_take_another_policy_in_slices() -> None:
    """Each counts by one limit or the other, and new ones by the new limit at once."""
    limiter = make()
    for number in range(2 * SLICE + 10):
        limiter.take_tenant(BY_TENANT, f"t{number}", 0)
    fresh = Limit("tenant", "tenant", 1, 1, 100)
    limiter.use_policy(LimitsPolicy({}, RouteLimits(), {"tenant": fresh}, {}), 0)

    def adjusted() -> int:
        return sum(bucket.limit == fresh for bucket in limiter.buckets())

    assert adjusted() == SLICE
    limiter.take_tenant(BY_TENANT, "new", 0)
    assert adjusted() == SLICE + 1
    assert limiter.adjust(0)
    assert not limiter.adjust(0)
    assert adjusted() == 2 * SLICE + 11
    assert limiter.sizes()["tenant"] == (2 * SLICE + 11, 0)


def test_a_policy_that_follows_at_once_is_taken_by_all() -> None:
    limiter = make()
    for number in range(SLICE + 10):
        limiter.take_tenant(BY_TENANT, f"t{number}", 0)
    first, second = (Limit("tenant", "tenant", 1, 1, burst) for burst in (100, 200))
    for each in (first, second):
        limiter.use_policy(LimitsPolicy({}, RouteLimits(), {"tenant": each}, {}), 0)
    while limiter.adjust(0):
        pass
    assert {bucket.limit for bucket in limiter.buckets()} == {second}


def test_what_a_removed_limit_was_asked_for_is_reported_to_nobody() -> None:
    """A store refuses a report whose key is no limit's, and with it all others."""
    limiter = make(shared=True)
    limiter.take(LIMITS, CountedRequest("a", "", "192.0.2.1"), 0)
    limiter.use_policy(LimitsPolicy({}, RouteLimits(), {"tenant": TENANT}, {}), 0)
    assert [each.key for each in limiter.report(9)] == ["tenant|a"]


def test_a_smaller_bound_holds_after_some_slices() -> None:
    limiter = make()
    for number in range(SLICE + 500):
        limiter.take_tenant(BY_TENANT, f"t{number}", 0)
    limiter.use_bound(100)
    assert limiter.adjust(0)
    assert not limiter.adjust(0)
    assert limiter.sizes()["tenant"] == (100, SLICE + 400)
