"""What is said of a reload: by result, in one sentence, with lists that are bounded."""

import pytest

from sidecar.config.reloading import Change
from sidecar.runtime.reload.outcome import MAX_LISTED, STATUSES, ReloadOutcome, ReloadResult

CHANGE = Change("routes[api].roles", "routes[].roles", "[]", '["x"]')
R = ReloadResult
SAID: list[tuple[ReloadResult, tuple[Change, ...], tuple[str, ...], str]] = [
    (R.APPLIED, (CHANGE,), (), "f.yaml: applied, 1 setting changed"),
    (R.APPLIED, (CHANGE, CHANGE), (), "f.yaml: applied, 2 settings changed"),
    (R.UNCHANGED, (), (), "f.yaml: unchanged, no setting has changed"),
    (R.INVALID, (), ("line 3: wrong",),
     "f.yaml: line 3: wrong; the configuration before it stays in force"),
    (R.INVALID, (), ("line 3: wrong", "b", "c"),
     "f.yaml: line 3: wrong (and 2 more); the configuration before it stays in force"),
    (R.UNACKNOWLEDGED, (CHANGE,), ("worker 1 has not",), "f.yaml: worker 1 has not"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "changed", "problems", "said"), SAID)
def test_the_sentence(
    result: ReloadResult, changed: tuple[Change, ...], problems: tuple[str, ...], said: str
) -> None:
    outcome = ReloadOutcome(result, "f.yaml", "d1", changed, problems)
    assert outcome.message == said
    assert outcome.document().get("error") == (said if problems else None)


def test_what_is_listed_is_bounded_and_counted() -> None:
    many = MAX_LISTED + 5
    outcome = ReloadOutcome(R.INVALID, "f", "d", (CHANGE,) * many, ("p",) * many).document()
    assert (len(outcome["changes"]), outcome["changes_total"]) == (MAX_LISTED, many)
    assert (len(outcome["problems"]), outcome["problems_total"]) == (MAX_LISTED, many)
    assert outcome["changes"][0] == {"setting": CHANGE.path, "old": "[]", "new": '["x"]'}


def test_every_result_has_its_status_and_refusals_are_told_apart() -> None:
    assert STATUSES.keys() == set(ReloadResult)
    refused = {each for each in ReloadResult if ReloadOutcome(each, "f", "d").refused}
    assert refused == {R.INVALID, R.RESTART_REQUIRED, R.RESTART_FAILED, R.UNPREPARED}
    assert {STATUSES[each] for each in set(ReloadResult) - refused} == {200, 504}
