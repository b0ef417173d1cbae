"""How long names stay with a client."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.backoff import JITTER_SHARE
from sidecar.sds.ttl import TtlTracker


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


def test_a_stay_ends_and_a_name_that_comes_again_stays_anew() -> None:
    stays = TtlTracker(100, 10, lambda: 0.0)
    stays.arrive("a", 0)
    assert stays.overdue(99, 9) == []
    assert stays.overdue(101, 9) == ["a"]
    assert stays.overdue(101, 9) == []
    stays.arrive("a", 101)
    assert stays.overdue(200, 9) == []
    assert stays.overdue(202, 9) == ["a"]


def test_a_renewal_does_not_lengthen_a_stay() -> None:
    stays = TtlTracker(100, 10, lambda: 0.0)
    stays.arrive("a", 0)
    stays.arrive("a", 90)
    assert stays.overdue(101, 9) == ["a"]


def test_a_name_that_left_is_not_taken_back() -> None:
    stays = TtlTracker(100, 10, lambda: 0.0)
    stays.arrive("a", 0)
    stays.leave("a")
    stays.arrive("a", 50)
    assert stays.overdue(101, 9) == []
    assert stays.overdue(151, 9) == ["a"]


def test_one_too_many_ends_the_stay_that_would_end_first() -> None:
    stays = TtlTracker(100, 3, lambda: 0.0)
    for at, name in enumerate(names(5)):
        stays.arrive(name, at)
    assert stays.overdue(5, 9) == ["n0", "n1"]
    assert len(stays) == 3


def test_what_came_together_leaves_apart_and_never_later() -> None:
    jitters = iter([0.0, 0.5, 0.999])
    stays = TtlTracker(100, 10, lambda: next(jitters))
    for name in names(3):
        stays.arrive(name, 0)
    assert stays.overdue(100 * (1 - JITTER_SHARE) + 0.1, 9) == ["n2"]
    assert stays.overdue(90.1, 9) == ["n1"]
    assert stays.overdue(100.1, 9) == ["n0"]


def test_what_a_client_brought_ends_within_the_time_given() -> None:
    stays = TtlTracker(3600, 10, lambda: 0.5)
    stays.resume("a", 0, 600)
    assert stays.overdue(299, 9) == []
    assert stays.overdue(301, 9) == ["a"]


def test_only_so_many_at_once() -> None:
    stays = TtlTracker(1, 1000, lambda: 0.0)
    for name in names(25):
        stays.arrive(name, 0)
    assert [len(stays.overdue(2, 10)) for _ in range(4)] == [10, 10, 5, 0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["arrive", "leave", "overdue"]), st.sampled_from("abcdef")),
        max_size=200,
    )
)
def test_nobody_stays_too_long_and_there_are_never_too_many(steps: list[tuple[str, str]]) -> None:
    stays = TtlTracker(10, 4, lambda: 0.0)
    here: dict[str, int] = {}
    for now, (step, name) in enumerate(steps):
        if step == "arrive":
            stays.arrive(name, now)
            here.setdefault(name, now)
        elif step == "leave":
            stays.leave(name)
            here.pop(name, None)
        else:
            for gone in stays.overdue(now, 100):
                del here[gone]
            assert len(here) <= 4
            assert all(now - since <= 10 for since in here.values())
        assert len(stays) == len(here)
        assert len(stays._order) <= 2 * len(steps)


def test_coming_and_going_for_ever_costs_no_memory() -> None:
    stays = TtlTracker(1e9, 1000, lambda: 0.0)
    for number in range(10_000):
        stays.arrive("a", number)
        stays.leave("a")
    assert len(stays._order) < 200
