"""Which lines a sink's queue dropped, until a line of the trail says it."""

from sidecar.observability.audit.chain import Head, chain_lines
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.sink_gaps import SinkGap, SinkGaps

ONE, TWO = b"1" * 16, b"2" * 16


def lines(first: int, last: int, trail: bytes = ONE) -> bytes:
    head = Head(trail, first - 1)
    return b"".join(chain_lines(head, [b'{"a":1}\n'] * (last - first + 1))[0])


def test_gaps_that_follow_each_other_are_one() -> None:
    gaps, intake = SinkGaps(), Intake(1, 1)
    for first, last in ((3, 5), (6, 6), (7, 9)):
        gaps.add("file", intake, lines(first, last))
    assert gaps.owed(ONE) == [SinkGap("file", ONE, 3, 9)]


def test_a_gap_is_said_once_and_when_there_is_room() -> None:
    gaps, intake = SinkGaps(), Intake(1, 10_000)
    intake.put(b"x\n", 1)
    gaps.add("file", intake, lines(3, 5))
    assert gaps.owed(ONE) == []
    intake.give_up()
    owed = gaps.owed(ONE)
    assert owed == [SinkGap("file", ONE, 3, 5)]
    gaps.told(owed)
    assert gaps.owed(ONE) == []


def test_a_gap_that_has_grown_is_said_again() -> None:
    gaps, intake = SinkGaps(), Intake(1, 1)
    gaps.add("file", intake, lines(3, 5))
    owed = gaps.owed(ONE)
    gaps.add("file", intake, lines(6, 7))
    gaps.told(owed)
    assert gaps.owed(ONE) == [SinkGap("file", ONE, 3, 7)]


def test_a_gap_of_another_chain_is_not_said_in_this_one() -> None:
    gaps, intake = SinkGaps(), Intake(1, 1)
    gaps.add("file", intake, lines(3, 5, TWO))
    assert gaps.owed(ONE) == []
    gaps.add("file", intake, lines(6, 7, ONE))
    assert gaps.owed(ONE) == [SinkGap("file", ONE, 6, 7)]


def test_a_gap_with_others_between_is_not_one_with_them() -> None:
    gaps, intake = SinkGaps(), Intake(1, 1)
    gaps.add("file", intake, lines(3, 5))
    gaps.add("file", intake, lines(7, 9))
    assert gaps.owed(ONE) == [SinkGap("file", ONE, 7, 9)], "3 to 5 stay unexplained"


def test_lines_of_no_chain_leave_no_gap() -> None:
    gaps = SinkGaps()
    gaps.add("file", Intake(1, 1), b"{}\n{}\n")
    gaps.add("file", Intake(1, 1), b"")
    assert gaps.owed(ONE) == []
