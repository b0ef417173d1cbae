"""Lines and answers are held against each other one by one."""

from typing import Any

import pytest

from bench.soak.audit import Comparison, compare
from bench.soak.judge import Line
from bench.soak.policy import INSTALL
from bench.soak.timeline import Timeline


def answer(path: str, received: float, reason: str = "token_verified", token: str = "") -> Line:
    outcome = "allow" if reason == "token_verified" else "deny"
    return Line(path, token, outcome, reason, received - 0.1, received)


def line(number: int, path: str, reason: str = "token_verified", **more: Any) -> dict[str, Any]:
    outcome = "allow" if reason == "token_verified" else "deny"
    return {"decision_id": f"d{number}", "path": path, "outcome": outcome, "reason": reason, **more}


NAMED = {"d1": answer("/a", 10, "token_missing")}
UNNAMED = [
    answer("/b", 20), answer("/hot", 30), answer("/hot", 31),
    answer(INSTALL, 40, token="one"), answer(INSTALL, 41, token="two"),
]  # fmt: skip
LINES = [
    line(1, "/a", "token_missing"), line(2, "/b"), line(3, "/hot"), line(4, "/hot"),
    line(5, INSTALL, token_id="one"), line(6, INSTALL, token_id="two"),
]  # fmt: skip


def compared(lines: list[dict[str, Any]], dropped: float = 0, kills: int = 0) -> Comparison:
    timeline, now = Timeline(), iter((30.5, 36.0) * kills)
    for _ in range(kills):
        with timeline.during("worker_killed", "", lambda: next(now)):
            pass
    return compare(NAMED, UNNAMED, lines, dropped, timeline)


def test_each_answer_has_its_line() -> None:
    assert compared(LINES) == Comparison(6, 6, 0, 0, 0, 0, [])


@pytest.mark.parametrize("gone", range(len(LINES)))
def test_a_line_that_is_missing_is_found_unless_it_is_counted(gone: int) -> None:
    left = [each for number, each in enumerate(LINES) if number != gone]
    assert len(compared(left).findings) == 1
    assert compared(left, dropped=1) == Comparison(6, 5, 1, 0, 0, 0, [])


def test_a_line_that_went_with_a_killed_process_is_explained_and_no_other() -> None:
    found = compared(LINES[:3] + LINES[4:], kills=1)
    assert found == Comparison(6, 5, 0, 1, found.killed_seconds, 0, [])
    assert found.killed_seconds == pytest.approx(0.5), "/hot was answered at 30 and at 31"
    assert compared(LINES[:1] + LINES[2:], kills=1).findings


WRONG: list[tuple[str, list[dict[str, Any]]]] = [
    ("a line twice", [*LINES, LINES[0]]),
    ("a second decision that nothing explains", [*LINES, line(7, "/b")]),
    ("another reason", [line(1, "/a", "token_expired"), *LINES[1:]]),
    ("another outcome", [*LINES[:1], line(2, "/b", "token_missing"), *LINES[2:]]),
]


@pytest.mark.parametrize("lines", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_found(lines: list[dict[str, Any]]) -> None:
    assert compared(lines).findings


def test_a_request_that_was_asked_again_in_a_disturbance_has_two_lines() -> None:
    found = compared([*LINES, line(7, "/hot")], kills=1)
    assert (found.extra, found.findings) == (1, [])
