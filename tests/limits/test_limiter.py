"""What a request is counted by, and what the limiter exchanges with other processes."""

import pytest

from sidecar.limits.bucket import SECOND_NS, Limit
from sidecar.limits.buckets import Share, SpendReport
from sidecar.limits.limiter import CountedRequest, RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits

TENANT = Limit("tenant", "tenant", 10, 1, 5)
ADDRESS = Limit("address", "address", 10, 1, 3)
TOKEN = Limit("route/r/token", "token", 1, 60, 1)
ROUTE = Limit("route/r", "route", 10, 1, 4)
OWN = Limit("tenant", "tenant", 100, 1, 50)
LIMITS = RouteLimits("r", tenant=(TENANT,), address=(ADDRESS,), token=(TOKEN,), total=ROUTE)
BY_TENANT = RouteLimits("r", tenant=(TENANT,), only_tenant=True)
REQUEST = CountedRequest(tenant="a", token="t", source="192.0.2.1")


def make(*, shared: bool = False, **tenants: Limit) -> RateLimiter:
    known = {each.identity: each for each in (TENANT, ADDRESS, TOKEN, ROUTE)}
    policy = LimitsPolicy({"r": LIMITS}, RouteLimits(address=(ADDRESS,)), known, tenants)
    return RateLimiter(policy, b"k" * 32, shared=shared)


def rooms(limiter: RateLimiter, now_ns: int = 0) -> dict[str, int]:
    return {each.limit.kind: each.room(now_ns) for each in limiter.buckets()}


def test_every_limit_is_charged_for_a_request_that_passes() -> None:
    limiter = make()
    assert limiter.take(LIMITS, REQUEST, 0) is None
    assert rooms(limiter) == {"tenant": 4, "address": 2, "token": 0, "route": 3}


def test_the_limit_with_the_longest_wait_decides_and_no_other_is_charged() -> None:
    limiter = make()
    limiter.take(LIMITS, REQUEST, 0)
    before = rooms(limiter)
    refusal = limiter.take(LIMITS, REQUEST, 0)
    assert refusal is not None
    assert (refusal.limit, refusal.wait_ns) == (TOKEN, 60 * SECOND_NS)
    assert rooms(limiter) == before
    # Of two that refuse, the tightest.
    for number in range(2):
        limiter.take(LIMITS, REQUEST._replace(token=f"{number}"), 0)
    refusal = limiter.take(LIMITS, REQUEST, 0)
    assert refusal is not None
    assert refusal.limit is TOKEN
    refusal = limiter.take(LIMITS, REQUEST._replace(token="new"), 0)
    assert refusal is not None
    assert refusal.limit is ADDRESS


def test_what_is_not_known_of_a_request_counts_nothing() -> None:
    limiter = make()
    assert limiter.take(LIMITS, CountedRequest(), 0) is None
    assert rooms(limiter) == {"route": 3, "address": 2}, "no address is one too"


def test_the_fast_look_up_counts_as_the_whole_one_does() -> None:
    fast, whole = make(), make()
    now = 0
    for step in (0, 1, 5, 40, 300, 0, 0, 0, 90, 1000, 0, 0, 0, 0, 0, 0):
        now += step * 1_000_000
        one = fast.take_tenant(BY_TENANT, "a", now)
        other = whole.take(BY_TENANT, CountedRequest(tenant="a"), now)
        assert one == other
    assert rooms(fast, now) == rooms(whole, now)


def test_a_tenant_s_own_limit_comes_and_goes_while_it_runs() -> None:
    limiter = make()
    for _ in range(5):
        limiter.take_tenant(BY_TENANT, "a", 0)
    assert limiter.take_tenant(BY_TENANT, "a", 0) is not None
    limiter.use_policy(limiter.policy.with_tenants({"a": OWN, "b": OWN}), 0)
    assert limiter.take_tenant(BY_TENANT, "a", 0) is None
    assert limiter.take(BY_TENANT, CountedRequest(tenant="b"), 0) is None
    assert {each.limit.burst for each in limiter.tenants()} == {50}
    limiter.use_policy(limiter.policy.with_tenants({}), 0)
    assert {each.limit.burst for each in limiter.tenants()} == {5}


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


def test_a_tenant_s_own_limit_holds_from_its_first_request_however_it_is_counted() -> None:
    fast, whole, leased, charged = make(a=OWN), make(a=OWN), make(a=OWN), make(a=OWN)
    fast.take_tenant(BY_TENANT, "a", 0)
    whole.take(BY_TENANT, CountedRequest(tenant="a"), 0)
    leased.lease("a", 0, 1)
    charged.charge(SpendReport("tenant|a", 1, 0), 0, 0)
    for each in (fast, whole, leased, charged):
        assert [bucket.limit for bucket in each.tenants()] == [OWN]


def passes(limiter: RateLimiter, now_ns: int) -> int:
    """Count the requests that pass until one is refused."""
    return sum(limiter.take_tenant(BY_TENANT, "a", now_ns) is None for _ in range(200))


def test_a_lease_is_at_most_half_of_the_room_and_is_spent() -> None:
    limiter = make()
    assert limiter.lease("a", 0, 1) == 1
    assert limiter.lease("a", 0, 3) == 2
    assert passes(limiter, 0) == 2
    assert limiter.lease("a", 0, 3) == 0
    assert limiter.lease("a", SECOND_NS // 5, 3) == 1
    assert limiter.lease("a", SECOND_NS, -1) == 0


def test_what_is_left_of_a_lease_is_given_back_once() -> None:
    limiter = make(a=OWN)
    assert limiter.lease("a", 0, 20) == 20
    assert limiter.lease("a", 0, 0, unspent=20) == 0
    assert passes(limiter, 0) == 50
    limiter = make(a=OWN)
    for turn in range(100):  # nobody sends anything for ten seconds
        assert limiter.lease("a", turn * SECOND_NS // 10, 20, unspent=20 if turn else 0) == 20
    assert passes(limiter, 99 * SECOND_NS // 10) == 30, "with the lease it is the burst"


def test_what_was_used_above_a_lease_is_charged() -> None:
    limiter = make(a=OWN)
    assert limiter.lease("a", 0, 0, unspent=-10) == 0
    assert passes(limiter, 0) == 40


def test_a_shared_bucket_reports_what_was_used_of_a_lease() -> None:
    limiter = make(shared=True, a=OWN)
    limiter.lease("a", 0, 20)
    assert [each[1:] for each in limiter.report(9)] == [(20, 0)]
    limiter.lease("a", 0, 20, unspent=20)
    assert limiter.report(9) == []
    limiter.lease("a", 0, 20, unspent=15)
    assert [each[1:] for each in limiter.report(9)] == [(5, 0)]
    limiter.lease("a", 0, 5, unspent=20)
    assert limiter.report(9) == [], "the others were told that it is spent"
    limiter.take_tenant(BY_TENANT, "a", 0)
    limiter.lease("a", 0, 0, unspent=5)
    assert [each[1:] for each in limiter.report(9)] == [(1, 0)]


def test_a_tenant_s_own_limit_holds_from_its_first_request() -> None:
    limiter = make(a=OWN)
    assert passes(limiter, 0) == 50, "also where its bucket was evicted and its token is cached"


def test_a_tenant_s_burst_is_its_own_where_it_has_one() -> None:
    limiter = make(a=OWN)
    assert (limiter.burst_of("a"), limiter.burst_of("b")) == (50, 5)


def test_an_address_over_its_limit_is_refused_before_anything_is_verified() -> None:
    limiter = make()
    limits = limiter.policy.unmatched
    for _ in range(3):
        assert limiter.refuse_address(limits, "192.0.2.1", 0) is None
        limiter.take_address(limits, "192.0.2.1", 0)
    refusal = limiter.refuse_address(limits, "192.0.2.1", 0)
    assert refusal is not None
    assert refusal.limit is ADDRESS
    assert limiter.refuse_address(limits, "192.0.2.2", 0) is None


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


def test_what_remains_is_never_somebody_else_s() -> None:
    limiter = make()
    shown = RouteLimits("r", tenant=(TENANT,), reports=True)
    limiter.take(shown, CountedRequest(tenant="a"), 0)
    assert limiter.passing_fields(0) != ()
    limiter.take(shown, CountedRequest(), 0)
    assert limiter.passing_fields(0) == (), "nothing counted this request"


def test_a_shadow_limit_lets_pass_and_the_others_are_charged() -> None:
    shadow = Limit("route/r", "route", 1, 60, 1, shadow=True)
    limits = RouteLimits("r", tenant=(TENANT,), total=shadow)
    counts: dict[tuple[str, str, str], int] = {}
    known = {each.identity: each for each in (TENANT, shadow)}
    limiter = RateLimiter(LimitsPolicy({}, RouteLimits(), known, {}), b"k" * 32, counts=counts)
    assert [limiter.take(limits, CountedRequest(tenant="a"), 0) for _ in range(3)] == [None] * 3
    assert rooms(limiter) == {"tenant": 2, "route": 0}
    assert counts == {("shadow", "route", "r"): 2}


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
