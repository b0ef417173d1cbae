"""The table says what was wrong, and a document without marks is not overwritten."""

import json

import pytest

from bench.soak.__main__ import plans
from bench.soak.act import Outcome
from bench.soak.audit import Comparison
from bench.soak.judge import Judge
from bench.soak.levels import Level
from bench.soak.plan import Plan
from bench.soak.report import BEGIN, END, as_json, is_clean, put_between_marks, story, table
from bench.soak.timeline import Timeline
from tests.bench.soak.test_oracle import ASK


def outcome(*, lost: int = 0) -> Outcome:
    timeline = Timeline()
    timeline.note(9.0, "keys_rotated [0, 1]")
    judge = Judge(timeline, lambda: 11.0, single=True)
    judge.answers.update({"get token_verified": 1200, "post token_missing": 30})
    for _ in range(lost):
        judge.lost(ASK, "no answer", 10.0)
    level = Level(600.0, 90.0, 1.25, 30.0, 0.0)
    plan = Plan("one sidecar", 7, 600, 1)
    compared = Comparison(1230, 1229, 0, 1, 0.25, 0, [])
    return Outcome(
        plan, 601.0, judge, {"flood": 3}, compared, 0.0, {"Envoy": [level]}, [2.5, 4.0], 88
    )


def test_the_table_has_every_figure() -> None:
    text = table([outcome(), outcome(lost=2)])
    assert "| **lost requests** | 0 | 2 |" in text
    assert "get 1,200, post 30" in text
    assert "1, answered up to 0.2 s before" in text
    assert "in 2 restarts of up to 4.0 s" in text
    assert "Envoy +1.2 MB of 90 in 600 s, +0 files" in text
    assert all(line.count("|") == 4 for line in text.splitlines())


def test_anything_wrong_is_no_success() -> None:
    assert is_clean([outcome()])
    assert not is_clean([outcome(), outcome(lost=1)])


def test_a_wrong_answer_is_told_with_what_happened() -> None:
    (wrong,) = outcome(lost=1).judge.wrong
    text = story(wrong)
    assert "no answer" in text
    assert "-1.00 s  keys_rotated [0, 1]" in text


def test_all_of_it_is_json() -> None:
    (found,) = json.loads(json.dumps(as_json([outcome(lost=1)])))
    assert (found["wrong"], found["seed"], found["gaps_seconds"]) == ({"lost": 1}, 7, [2.5, 4.0])
    assert found["stories"][0]["kind"] == "lost"


def test_a_document_without_marks_is_not_overwritten() -> None:
    assert put_between_marks(f"a\n{BEGIN}\nold\n{END}\nb", "x") == f"a\n{BEGIN}\nx\n{END}\nb"
    with pytest.raises(ValueError, match="marks"):
        put_between_marks("a", "x")


def test_two_acts_share_the_time_and_a_short_one_is_dense() -> None:
    two, one = plans(7, 1200, (2, 1))
    assert (two.sidecars, two.seconds, one.sidecars, one.seconds) == (2, 720, 1, 480)
    assert two.pace == one.pace == 1
    (alone,) = plans(7, 60, (1,))
    assert (alone.seconds, alone.pace) == (60, 5)
