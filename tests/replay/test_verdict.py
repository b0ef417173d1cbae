"""What becomes of a request: one word for two outcomes."""

import pytest

from sidecar.replay.decider import Prediction
from sidecar.replay.verdict import (
    Outcome,
    Verdict,
    predicted_outcome,
    recorded_outcome,
    verdict_of,
)
from tests.replay.lines import line

VERIFIED = Outcome("allow", "token_verified", 200, "api")
PUBLIC = Outcome("allow", "public", 200, "api")
MISSING = Outcome("deny", "token_missing", 401, "api")
FORGED = Outcome("deny", "signature_invalid", 401, "api")
UNKNOWN = Outcome("unknown", "", 0, "api")
ROWS = {
    "nothing": (VERIFIED, VERIFIED, Verdict.SAME),
    "let in": (MISSING, PUBLIC, Verdict.GAINED),
    "shut out": (VERIFIED, FORGED, Verdict.LOST),
    "on another ground": (VERIFIED, PUBLIC, Verdict.CHANGED),
    "for another reason": (MISSING, FORGED, Verdict.CHANGED),
    "for perhaps another reason": (MISSING, FORGED._replace(is_certain=False), Verdict.SAME),
    "by another route": (VERIFIED, VERIFIED._replace(route="new"), Verdict.CHANGED),
    "by another route, for perhaps another reason": (
        MISSING, FORGED._replace(is_certain=False, route="new"), Verdict.CHANGED,
    ),
    "in shadow for another reason": (
        VERIFIED._replace(reason="shadow", shadowed="a"),
        VERIFIED._replace(reason="shadow", shadowed="b"), Verdict.CHANGED,
    ),
    "nobody knows": (VERIFIED, UNKNOWN, Verdict.UNKNOWN),
    "nobody knew": (UNKNOWN, VERIFIED, Verdict.UNKNOWN),
    "denied, with another status": (MISSING, MISSING._replace(status=403), Verdict.CHANGED),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_two_outcomes_are_one_verdict(what: str) -> None:
    before, after, verdict = ROWS[what]
    assert verdict_of(before, after) is verdict


def test_a_line_and_a_prediction_of_the_same_are_the_same() -> None:
    shadowed = line(reason="shadow", shadow_reason="role_missing")
    predicted = Prediction("allow", "shadow", 200, "api", "", "role_missing")
    assert recorded_outcome(shadowed) == predicted_outcome(predicted)
    assert not predicted_outcome(predicted._replace(open=("x",))).is_certain
