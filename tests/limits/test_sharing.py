"""One limit in several processes: over time exactly the rate passes, and nobody starves."""

import random

import pytest

from sidecar.limits.bucket import SECOND_NS, Limit
from sidecar.limits.buckets import SpendReport
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits
from sidecar.limits.sharing import MAX_ASKED, MAX_LATE_NS, PERIOD_NS, Divider

BY_TENANT = RouteLimits("r", only_tenant=True)


class Group:
    """Processes that share, in simulated time."""

    def __init__(self, size: int, limit: Limit) -> None:
        policy = LimitsPolicy({}, RouteLimits(), {limit.identity: limit}, {})
        self.divider = Divider(RateLimiter(policy, b"k" * 32), size)
        self.members = [RateLimiter(policy, b"k" * 32, shared=True) for _ in range(size)]
        for member in self.members:
            member.new_strict_share = 1 / size
        self.next_report = [number * PERIOD_NS // size for number in range(size)]
        self.passed: list[tuple[int, int]] = []

    def ask(self, member: int, now_ns: int, tenant: str = "a") -> bool:
        for number, at in enumerate(self.next_report):
            if now_ns >= at:
                limiter = self.members[number]
                shares, news = self.divider.take(
                    number, limiter.report(1000), now_ns - PERIOD_NS, now_ns
                )
                limiter.apply(shares, now_ns)
                for other in self.members:
                    if other is not limiter:
                        other.apply(news, now_ns)
                self.next_report[number] += PERIOD_NS
        passes = self.members[member].take_tenant(BY_TENANT, tenant, now_ns) is None
        if passes:
            self.passed.append((now_ns, member))
        return passes

    def load(self, per_second: int, weights: list[int], seconds: float) -> None:
        draw = random.Random(7)
        step = SECOND_NS // per_second
        for now in range(1, int(seconds * SECOND_NS), step):
            self.ask(draw.choices(range(len(weights)), weights)[0], now)


@pytest.mark.parametrize(
    ("weights", "per_second", "burst"),
    [
        pytest.param([1], 2000, 1000, id="one process"),
        pytest.param([1, 1], 2000, 1000, id="two"),
        pytest.param([9, 1], 2000, 1000, id="two, unequal"),
        pytest.param([1, 1], 1100, 1000, id="two, a little too much"),
        pytest.param([1, 1], 8000, 50, id="two, eightfold and a small burst"),
        pytest.param([1, 1, 1, 1], 2000, 1000, id="four"),
        pytest.param([10, 5, 1, 1], 4000, 100, id="four, unequal"),
    ],
)
def test_under_a_steady_overload_the_rate_passes_and_each_gets_its_share(
    weights: list[int], per_second: int, burst: int
) -> None:
    limit = Limit("tenant", "tenant", 1000, 1, burst)
    group = Group(len(weights), limit)
    group.load(per_second, weights, 6.0)
    warm = [member for at, member in group.passed if at >= 2 * SECOND_NS]
    expected = 4 * min(1000, per_second)
    if per_second < 1200:  # the burst lasts longer than the warm-up
        expected = 4 * per_second
    assert len(warm) == pytest.approx(expected, rel=0.02)
    for member, weight in enumerate(weights):
        assert warm.count(member) / len(warm) >= 0.6 * weight / sum(weights)
    assert len(group.passed) <= burst + 6 * 1000 + 1000 * 0.1 * len(weights)


def test_below_the_limit_nobody_is_refused() -> None:
    group = Group(4, Limit("tenant", "tenant", 1000, 1, 1000))
    group.load(900, [5, 1, 1, 1], 4.0)
    assert len(group.passed) == len(range(1, 4 * SECOND_NS, SECOND_NS // 900))


def test_a_burst_to_one_process_is_not_divided() -> None:
    group = Group(4, Limit("tenant", "tenant", 1000, 1, 1000))
    assert sum(group.ask(0, 1) for _ in range(1200)) == 1000


def test_a_strict_limit_is_exact_at_human_speed_and_nearly_at_a_machine_s() -> None:
    limit = Limit("tenant", "tenant", 5, 60, 5, strict=True)
    human = Group(4, limit)
    assert [human.ask(n % 4, (n + 1) * SECOND_NS // 2) for n in range(7)] == [True] * 5 + [
        False
    ] * 2
    machine = Group(4, limit)
    passed = sum(machine.ask(number % 4, SECOND_NS + number) for number in range(400))
    assert passed <= 5 + 4 - 1
    # What passed too much is paid back: after two minutes, as many as the rate allows in all.
    later = [2 * 60 * SECOND_NS + number * SECOND_NS // 5 for number in range(20)]
    assert passed + sum(machine.ask(n % 4, at) for n, at in enumerate(later)) <= 5 + 10 + 1


def test_news_that_cross_a_report_give_nothing_back() -> None:
    """On a busy machine a report waits: what others are told meanwhile does not know of it."""
    now = SECOND_NS
    group = Group(2, Limit("tenant", "tenant", 2, 600, 2, strict=True))
    one, other = group.members

    def passes(member: RateLimiter) -> bool:
        return member.take_tenant(BY_TENANT, "a", now) is None

    assert [passes(one), passes(one)] == [True, False]
    on_its_way = one.report(1000)
    assert passes(other)
    _, news = group.divider.take(1, other.report(1000), now, now)
    one.apply(news, now)
    assert not passes(one)
    one.report(1000)  # and another one, before the first is answered
    answer, _ = group.divider.take(0, on_its_way, now, now)
    one.apply(answer, now)
    assert not passes(one)


def test_a_report_that_comes_late_is_charged_to_the_time_in_which_it_was_spent() -> None:
    limit = Limit("tenant", "tenant", 1000, 1, 1000)
    group = Group(2, limit)
    now = 3 * SECOND_NS
    spent = [SpendReport("tenant|a", 1500, 0)]
    (share,), _ = group.divider.take(0, spent, now - 2 * SECOND_NS, now)
    assert share.ahead_ns == -SECOND_NS // 2, "two seconds refill more than was spent"
    (share,), _ = group.divider.take(1, spent, now, now)
    assert share.ahead_ns == SECOND_NS + SECOND_NS // 2
    # However late it says it is.
    (share,), _ = group.divider.take(0, [SpendReport("tenant|b", 1, 0)], 0, 100 * SECOND_NS)
    assert share.ahead_ns >= -MAX_LATE_NS


def test_what_a_worker_says_is_bounded() -> None:
    limit = Limit("tenant", "tenant", 1000, 1, 1000)
    group = Group(2, limit)
    forged = [
        SpendReport("tenant|a", MAX_ASKED, 0),
        SpendReport("tenant|b", 5, 6),
        SpendReport("x|y", 1, 0),
    ]
    shares, news = group.divider.take(
        1, [*forged, SpendReport("tenant|c", MAX_ASKED + 1, 0)], 0, SECOND_NS
    )
    assert [each.key for each in shares] == ["tenant|a"]
    assert news == []
    assert shares[0].ahead_ns <= limit.tolerance_ns + SECOND_NS, "a second, not three hours"
