"""Verdicts are counted, told with what was around them, and excused in announced gaps alone."""

from typing import Any

import pytest

from bench.soak.judge import UNCHECKED, Judge
from bench.soak.oracle import Answer
from bench.soak.policy import NOTHING
from bench.soak.timeline import Timeline
from bench.soak.world import Name, Sent, World
from tests.bench.soak.test_oracle import ALLOWED, ASK, HEADERS

UNANSWERED = Answer(503, UNCHECKED, {**HEADERS, "content-security-policy": NOTHING}, None)


class Acting:
    """A judge, and a time that the test sets."""

    def __init__(self, *, single: bool) -> None:
        self.now = 100.0
        self.timeline = Timeline()
        self.world = World(lambda: self.now)
        self.judge = Judge(self.timeline, lambda: self.now, single=single)

    def sends(self, **ask: Any) -> Sent:
        return self.world.sends(ASK._replace(**ask))

    def take(self, sent: Sent, answer: Answer, decision_id: str = "") -> None:
        right = self.world.right_answers(sent, self.now)
        self.judge.decided(sent, self.now, answer, right, decision_id)


def allowed(sent: Sent) -> Answer:
    told = {**(ALLOWED.told or {})}
    told |= {"x-user-id": [sent.identity.subject], "x-token-id": [sent.identity.token_id]}
    return ALLOWED._replace(told=told)


def test_a_right_answer_is_counted_and_its_line_is_expected() -> None:
    acting = Acting(single=False)
    sent = acting.sends()
    acting.take(sent, allowed(sent))
    assert acting.judge.answers == {"get token_verified": 1}
    assert [(each.outcome, each.reason) for each in acting.judge.unnamed] == [
        ("allow", "token_verified")
    ]
    assert not acting.judge.wrong


def test_a_wrong_answer_is_told_with_what_was_around_it() -> None:
    acting = Acting(single=False)
    acting.timeline.note(97, "keys_rotated")
    acting.timeline.note(80, "flood")
    sent = acting.sends(credential="none")
    acting.now = 101
    acting.take(sent, allowed(sent))
    (wrong,) = acting.judge.wrong
    assert wrong.kind == "decision"
    assert wrong.around == ("-3.00 s  keys_rotated",)
    assert "status 200, not 401" in wrong.problems


def test_all_are_counted_and_the_first_are_told() -> None:
    acting = Acting(single=False)
    for _ in range(30):
        acting.judge.lost(ASK, "no answer", 100)
    assert acting.judge.wrong_counts == {"lost": 30}
    assert 1 < len(acting.judge.wrong) < 30


def test_one_decision_does_not_answer_two_requests() -> None:
    acting = Acting(single=False)
    denied = Answer(401, "token_missing", {**HEADERS, "content-security-policy": NOTHING}, None)
    for _ in range(2):
        acting.take(acting.sends(credential="none"), denied, "d1")
    assert acting.judge.wrong_counts == {"decision": 1}


@pytest.mark.parametrize("single", [True, False])
def test_only_a_single_sidecar_may_be_away_and_only_while_it_is_restarted(single: bool) -> None:
    acting = Acting(single=single)
    with acting.timeline.during("sidecar_killed", "sidecar 0", lambda: acting.now):
        acting.take(acting.sends(), UNANSWERED)
        acting.judge.lost(ASK, "no answer", 100)
    assert acting.judge.in_gaps == (2 if single else 0)
    assert acting.judge.wrong_counts == ({} if single else {"decision": 1, "lost": 1})
    acting.now = 150
    acting.take(acting.sends(), UNANSWERED)
    assert acting.judge.wrong_counts["decision"] == (1 if single else 2)


ROWS = [
    ("a name on demand, Vault away, after a restart", "tenant", True, True, True),
    ("the platform's own name", "", True, True, False),
    ("Vault is there", "tenant", False, True, False),
    ("nothing has begun anew", "tenant", True, False, False),
]


@pytest.mark.parametrize(
    ("owner", "away", "anew", "excused"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_a_handshake_fails_only_where_nobody_has_the_certificate(
    owner: str, away: bool, anew: bool, excused: bool
) -> None:
    acting = Acting(single=False)
    for kind, happened in (("envoy_restarted", anew), ("vault_sealed", away)):
        if happened:
            with acting.timeline.during(kind, "", lambda: acting.now):
                pass
    acting.judge.unserved(acting.sends()._replace(name=Name("x.example", owner)), "refused")
    assert acting.judge.without_vault == (1 if excused else 0)
    assert acting.judge.wrong_counts == ({} if excused else {"lost": 1})


def test_in_a_gap_a_wrong_decision_is_still_wrong() -> None:
    acting = Acting(single=True)
    with acting.timeline.during("sidecar_killed", "sidecar 0", lambda: acting.now):
        sent = acting.sends(credential="forged")
        acting.take(sent, allowed(sent))
    assert acting.judge.wrong_counts == {"decision": 1}
