"""Credits of tenants: together with what is asked for, exactly the limit."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decision_cache.credits import grant_all
from sidecar.decision_cache.memory import SharedMemory, make_memory
from sidecar.decision_cache.protocol import MAX_CREDITS, credit_bytes
from sidecar.decision_cache.tenant_credits import IDLE_LOOKS, MAX_OVERSPENT, TenantCredits
from sidecar.limits.bucket import SECOND_NS, Limit
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, RouteLimits

LIMIT = Limit("tenant", "tenant", 100, 1, 100)
ROUTE = RouteLimits("api", tenant=(LIMIT,), only_tenant=True)
LOOK_NS = SECOND_NS // 20
SPENT = 8
"""The word of the first slot that modules write."""


class Edge:
    """A limiter, a module that repeats while it has credit, and asks otherwise."""

    def __init__(self, limit: Limit = LIMIT) -> None:
        self.now_ns = SECOND_NS
        policy = LimitsPolicy({"api": ROUTE}, RouteLimits(), {"tenant": limit}, {})
        self.limiter = RateLimiter(policy, b"k" * 32)
        self.credits = TenantCredits(lambda: self.now_ns)
        self.credits.limiter = self.limiter
        self.memory: SharedMemory = make_memory("credit", credit_bytes(MAX_CREDITS))
        self.repeated = self.asked = 0
        assert self.credits.slot_of("a") == 0

    @property
    def credit(self) -> int:
        words = self.memory.words
        return words[0] - words[SPENT]

    def look(self) -> None:
        """Pass the time between two looks, and look."""
        self.now_ns += LOOK_NS
        grant_all(self.memory, self.credits)

    def send(self, count: int, *, remembered: bool = True) -> int:
        """Send requests; return how many passed."""
        passed = 0
        for _ in range(count):
            if remembered and self.credit > 0:
                self.memory.words[SPENT] += 1
                self.repeated += 1
                passed += 1
            else:
                self.asked += 1
                passed += self.limiter.take_tenant(ROUTE, "a", self.now_ns) is None
        return passed


@pytest.fixture
def edge() -> Edge:
    return Edge()


def test_at_twice_the_rate_exactly_the_limit_passes(edge: Edge) -> None:
    passed = 0
    for _ in range(400):  # twenty seconds
        edge.look()
        passed += edge.send(10)
    assert passed == pytest.approx(20 * 100 + 100, rel=0.02)
    assert edge.repeated > 300


def test_below_the_limit_nearly_all_are_repeated(edge: Edge) -> None:
    for _ in range(100):
        edge.look()
        assert edge.send(3) == 3
    assert edge.asked <= 3 * 2


def test_credit_and_room_together_are_the_burst_after_any_rest(edge: Edge) -> None:
    for _ in range(20):
        edge.look()
        edge.send(4)
    for _ in range(200):
        edge.look()
    assert 0 < edge.credit <= 2 + 1
    assert edge.send(500) in range(100, 103)


def test_a_small_burst_is_not_held_back_from_those_who_ask() -> None:
    for burst in (1, 2, 5, 10):
        edge = Edge(Limit("tenant", "tenant", burst, 1, burst))
        for _ in range(100):
            edge.look()
        assert edge.credit <= burst // 2
        assert edge.send(burst, remembered=False) >= burst - 1
        edge.look()
        assert edge.credit == 0, "it is given back for those who ask"


def test_a_lower_limit_takes_credit_back_at_once_and_a_higher_one_gives_more(edge: Edge) -> None:
    for _ in range(40):
        edge.look()
        edge.send(4)
    assert edge.credit >= 10
    for requests, least, most in ((4, 0, 2), (100_000, 2000, 2100)):
        own = Limit("tenant", "tenant", requests, 1, requests)
        policy = edge.limiter.policy.with_tenants({"a": own})
        edge.limiter.use_policy(policy, edge.now_ns)
        edge.now_ns += 100 * SECOND_NS
        edge.look()
        assert least <= edge.credit <= most


def test_a_grant_that_falls_while_a_thread_spends_is_charged(edge: Edge) -> None:
    edge.look()
    granted = edge.memory.words[0]
    edge.memory.words[SPENT] = granted + 30
    edge.look()
    ahead = sum(bucket.full_at_ns for bucket in edge.limiter.tenants()) - edge.now_ns
    spent = ahead / LIMIT.interval_ns
    assert spent == pytest.approx(granted + 30 + edge.credit - 5, abs=5)


def test_what_no_module_writes_uses_up_a_rate_and_no_future(edge: Edge) -> None:
    edge.look()
    edge.memory.words[SPENT] = (1 << 64) - 1
    for _ in range(3):
        edge.look()
    assert edge.credit <= 0
    (bucket,) = edge.limiter.tenants()
    assert bucket.full_at_ns - edge.now_ns <= (MAX_OVERSPENT + 200) * LIMIT.interval_ns
    edge.memory.words[SPENT] = 0
    before = edge.memory.words[0]
    edge.look()
    assert edge.memory.words[0] == before, "a word that falls frees nothing"


def test_before_there_is_a_limiter_nothing_is_granted(edge: Edge) -> None:
    edge.credits.limiter = None
    edge.look()
    assert edge.credit == 0


def test_each_tenant_has_a_slot_until_all_are_given() -> None:
    made = TenantCredits(lambda: 0)
    heard: list[tuple[str, int]] = []
    made.on_slot = lambda tenant, slot: heard.append((tenant, slot))
    for number in range(MAX_CREDITS):
        assert made.slot_of(f"t{number}") == made.slot_of(f"t{number}") == number
    assert made.slot_of("one too many") is None
    assert (len(made), len(heard), heard[-1]) == (MAX_CREDITS, MAX_CREDITS, ("t4095", 4095))


def test_slots_in_use_are_looked_at_each_time_and_the_others_in_turn() -> None:
    made = TenantCredits(lambda: 0)
    for number in range(3 * IDLE_LOOKS):
        made.slot_of(str(number))
    words = array("Q", [0] * MAX_CREDITS)
    words[5] = words[100] = 1
    turns = [set(made.due(memoryview(words))) for _ in range(4)]
    assert all({5, 100} <= turn and len(turn) <= IDLE_LOOKS + 2 for turn in turns)
    assert set().union(*turns[:3]) == set(range(3 * IDLE_LOOKS))
    assert turns[3] == turns[0]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
def test_never_more_than_the_limit_passes(looks: list[tuple[int, int]]) -> None:
    """Of any traffic: the burst, the rate, and what the bucket refills between two looks."""
    edge, passed = Edge(), 0
    for known, unknown in looks:
        edge.look()
        passed += edge.send(known) + edge.send(unknown, remembered=False)
    assert passed <= 100 + 5 * (len(looks) + 1) + 1
