"""What may have been in force while a request was under way."""

import math

import pytest

from bench.soak.timeline import Fact, Timeline


def fact() -> Fact[str]:
    """Old until 10, either from 10 to 20, new from 20 on; a third is announced for 50 to 60."""
    made = Fact("old")
    made.begin("new", 10)
    made.settle(20)
    made.begin("third", 50, settled=60)
    return made


ROWS = [
    ("before the change", 1, 9, {"old"}),
    ("it begins while the request is under way", 9, 11, {"old", "new"}),
    ("in the middle of the change", 14, 15, {"old", "new"}),
    ("sent before it is settled", 19, 30, {"old", "new"}),
    ("sent after it is settled", 21, 30, {"new"}),
    ("an announced change has not begun", 40, 49, {"new"}),
    ("it has begun", 40, 51, {"new", "third"}),
    ("it is over", 61, 70, {"third"}),
    ("over all of it", 1, 70, {"old", "new", "third"}),
]


@pytest.mark.parametrize(
    ("start", "end", "right"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_what_may_have_been_in_force(start: float, end: float, right: set[str]) -> None:
    assert set(fact().during(start, end)) == right


def test_a_change_that_is_never_settled_leaves_both_right() -> None:
    made = Fact(False)
    made.begin(value=True, now=5)
    assert set(made.during(1000, 1001)) == {False, True}
    assert made.newest is True


def test_a_value_that_comes_back_is_right_again() -> None:
    made = Fact("a")
    for at, value in ((1, "b"), (3, "a")):
        made.begin(value, at)
        made.settle(at + 1)
    assert made.during(10, 11) == ("a",)


def test_what_is_told_of_a_moment_is_what_was_around_it() -> None:
    timeline, now = Timeline(), iter((100.0, 104.0, 130.0, 131.0))
    with timeline.during("flood", "of 3", lambda: next(now)):
        pass
    with timeline.during("vault_killed", "", lambda: next(now)):
        assert timeline.meets(["vault_killed"], 130.5, 130.6)
    assert timeline.near(105, 106, 5) == ["-5.00 s  flood of 3", "-1.00 s  end of flood of 3"]
    assert timeline.meets(["flood"], 103, 103)
    assert not timeline.meets(["flood"], 105, 110)
    assert timeline.meets(["flood"], 105, 110, after=2)
    assert not timeline.meets(["flood"], 90, 99)
    assert timeline.next_start(["flood", "vault_killed"], 101) == 130
    assert timeline.next_start(["flood"], 101) == math.inf
