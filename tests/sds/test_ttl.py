"""How long a client keeps a name: its TTL."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.sds.ttl import TtlTracker
from workload.backoff import JITTER_SHARE


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def test_a_ttl_ends_and_a_name_that_comes_again_has_a_new_one() -> None:
    tracker = TtlTracker(100, 10, lambda: 0.0)
    tracker.add("a", 0)
    assert tracker.overdue(99, 9) == []
    assert tracker.overdue(101, 9) == ["a"]
    assert tracker.overdue(101, 9) == []
    tracker.add("a", 101)
    assert tracker.overdue(200, 9) == []
    assert tracker.overdue(202, 9) == ["a"]


def test_a_renewal_does_not_lengthen_the_ttl() -> None:
    tracker = TtlTracker(100, 10, lambda: 0.0)
    tracker.add("a", 0)
    tracker.add("a", 90)
    assert tracker.overdue(101, 9) == ["a"]


def test_a_name_that_was_dropped_is_not_evicted() -> None:
    tracker = TtlTracker(100, 10, lambda: 0.0)
    tracker.add("a", 0)
    tracker.discard("a")
    tracker.add("a", 50)
    assert tracker.overdue(101, 9) == []
    assert tracker.overdue(151, 9) == ["a"]


def test_one_too_many_evicts_the_name_that_would_end_first() -> None:
    tracker = TtlTracker(100, 3, lambda: 0.0)
    for at, name in enumerate(names(5)):
        tracker.add(name, at)
    assert tracker.overdue(5, 9) == ["n0", "n1"]
    assert len(tracker) == 3


def test_what_was_added_together_ends_apart_and_never_later() -> None:
    jitters = iter([0.0, 0.5, 0.999])
    tracker = TtlTracker(100, 10, lambda: next(jitters))
    for name in names(3):
        tracker.add(name, 0)
    assert tracker.overdue(100 * (1 - JITTER_SHARE) + 0.1, 9) == ["n2"]
    assert tracker.overdue(90.1, 9) == ["n1"]
    assert tracker.overdue(100.1, 9) == ["n0"]


def test_what_a_client_brought_ends_within_the_time_given() -> None:
    tracker = TtlTracker(3600, 10, lambda: 0.5)
    tracker.resume("a", 0, 600)
    assert tracker.overdue(299, 9) == []
    assert tracker.overdue(301, 9) == ["a"]


def test_only_so_many_at_once() -> None:
    tracker = TtlTracker(1, 1000, lambda: 0.0)
    for name in names(25):
        tracker.add(name, 0)
    assert [len(tracker.overdue(2, 10)) for _ in range(4)] == [10, 10, 5, 0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "discard", "overdue"]), st.sampled_from("abcdef")),
        max_size=200,
    )
)
def test_no_name_outlives_its_ttl_and_there_are_never_too_many(
    steps: list[tuple[str, str]],
) -> None:
    tracker = TtlTracker(10, 4, lambda: 0.0)
    here: dict[str, int] = {}
    for now, (step, name) in enumerate(steps):
        if step == "add":
            tracker.add(name, now)
            here.setdefault(name, now)
        elif step == "discard":
            tracker.discard(name)
            here.pop(name, None)
        else:
            for gone in tracker.overdue(now, 100):
                del here[gone]
            assert len(here) <= 4
            assert all(now - since <= 10 for since in here.values())
        assert len(tracker) == len(here)
        assert len(tracker._order) <= 2 * len(steps)


def test_coming_and_going_for_ever_costs_no_memory() -> None:
    tracker = TtlTracker(1e9, 1000, lambda: 0.0)
    for number in range(10_000):
        tracker.add("a", number)
        tracker.discard("a")
    assert len(tracker._order) < 200


def test_another_ttl_holds_for_names_that_come_and_another_bound_for_all() -> None:
    tracker = TtlTracker(100, 10, lambda: 0.0)
    tracker.add("a", 0)
    tracker.use(10, 10)
    tracker.add("b", 0)
    assert tracker.overdue(11, 9) == ["b"]
    tracker.add("c", 11)
    tracker.use(10, 1)
    assert tracker.overdue(12, 9) == ["c"], "the one that would end first"
