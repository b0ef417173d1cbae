"""Findings: each with its place, one for lines that follow each other, and a bound."""

from sidecar.observability.audit.findings import (
    MAX_FINDINGS,
    FindingKind,
    Place,
    TrailReport,
    decision_of,
    time_of,
)
from tests.observability.audit.signed_trail import START, decision


def test_lines_that_follow_each_other_are_one_finding() -> None:
    report = TrailReport()
    for line in (4, 5, 6, 8):
        report.add(FindingKind.REPEATED, "again", Place("a", line))
    report.add(FindingKind.REPEATED, "again", Place("b", 9))
    report.add(FindingKind.ALTERED, "other", Place("b", 10))
    assert [(each.line, each.last_line) for each in report.findings] == [
        (4, 6), (8, 8), (9, 9), (10, 10)
    ]  # fmt: skip
    assert report.problems == 4


def test_notices_are_no_problems() -> None:
    report = TrailReport()
    for kind in (FindingKind.TORN, FindingKind.LOST, FindingKind.BEGINS, FindingKind.TRAIL):
        report.add(kind, "", Place("a", 1))
    assert (report.problems, report.notices, report.is_whole) == (0, 4, True)
    report.add(FindingKind.CUT, "", Place("a", 1))
    assert not report.is_whole


def test_only_so_many_are_kept_and_all_are_counted() -> None:
    report = TrailReport()
    for line in range(1, 3 * MAX_FINDINGS, 2):
        report.add(FindingKind.ALTERED, "", Place("a", line))
    assert len(report.findings) == MAX_FINDINGS
    assert report.problems == 3 * MAX_FINDINGS // 2


def test_time_and_decision_are_read_where_they_stand() -> None:
    line = decision(7, START)
    assert (time_of(line), decision_of(line)) == ("2026-11-26T03:00:00.000+00:00", "d7")
    for odd in (
        b"",
        b"\xff" * 100,
        b'{"time":"',
        line[:58],
        line.replace(b"decision", b"dicision"),
    ):
        assert decision_of(odd) in {"", "d7"[: max(0, len(odd) - 55)]}
        assert len(time_of(odd)) <= 29
