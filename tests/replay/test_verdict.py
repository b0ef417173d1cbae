"""What becomes of a request: one word for two outcomes."""

import pytest

from sidecar.replay.decider import Prediction
from sidecar.replay.verdict import (
    ReplayOutcome,
    ReplayVerdict,
    predicted_outcome,
    recorded_outcome,
    verdict_of,
)
from tests.replay.lines import line

VERIFIED = ReplayOutcome("allow", "token_verified", 200, "api")
PUBLIC = ReplayOutcome("allow", "public", 200, "api")
MISSING = ReplayOutcome("deny", "token_missing", 401, "api")
FORGED = ReplayOutcome("deny", "signature_invalid", 401, "api")
UNKNOWN = ReplayOutcome("unknown", "", 0, "api")
ROWS = {
    "nothing": (VERIFIED, VERIFIED, ReplayVerdict.SAME),
    "let in": (MISSING, PUBLIC, ReplayVerdict.GAINED),
    "shut out": (VERIFIED, FORGED, ReplayVerdict.LOST),
    "on another ground": (VERIFIED, PUBLIC, ReplayVerdict.CHANGED),
    "for another reason": (MISSING, FORGED, ReplayVerdict.CHANGED),
    "for perhaps another reason": (MISSING, FORGED._replace(is_certain=False), ReplayVerdict.SAME),
    "by another route": (VERIFIED, VERIFIED._replace(route="new"), ReplayVerdict.CHANGED),
    "by another route, for perhaps another reason": (
        MISSING, FORGED._replace(is_certain=False, route="new"), ReplayVerdict.CHANGED,
    ),
    "in shadow for another reason": (
        VERIFIED._replace(reason="shadow", shadowed="a"),
        VERIFIED._replace(reason="shadow", shadowed="b"), ReplayVerdict.CHANGED,
    ),
    "nobody knows": (VERIFIED, UNKNOWN, ReplayVerdict.UNKNOWN),
    "nobody knew": (UNKNOWN, VERIFIED, ReplayVerdict.UNKNOWN),
    "denied, with another status": (MISSING, MISSING._replace(status=403), ReplayVerdict.CHANGED),
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
