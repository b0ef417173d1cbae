"""Collects verdicts: what was answered, what was wrong, lost, or allowed to be lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bench.soak.asks import Ask
from bench.soak.oracle import Answer, Expected, judge
from bench.soak.policy import INSTALL
from bench.soak.timeline import Timeline
from bench.soak.world import Sent

AROUND_SECONDS = 5.0
_MAX_WRONG = 10
"""Of each kind, told with what was around them; all are counted."""
GAPS = ("sidecar_killed", "sidecar_restarted")
"""The disturbances in which one sidecar alone answers nobody: a restart without overlap."""
OUTAGES = ("vault_killed", "vault_frozen", "vault_sealed")
ANEW = (*GAPS, "restart_overlapped", "listeners_updated", "envoy_restarted")
"""After these an Envoy or a sidecar no longer has the certificates of names on demand."""
GAP_SECONDS = 60.0
"""How long that may be, at most: announced in docs/soak.md. Two seconds are the notice of a drain,
the rest is a start, on a machine that is busy with other things."""
UNCHECKED = "The request could not be checked"
"""What Envoy says to a client where no sidecar answers."""


class Wrong(NamedTuple):
    """One wrong answer, and what happened around it."""

    kind: str
    what: str
    problems: tuple[str, ...]
    at: float
    around: tuple[str, ...]


class Line(NamedTuple):
    """What an audit line must say of an answered request."""

    path: str
    token_id: str
    outcome: str
    reason: str
    sent: float
    received: float


class Judge:
    """Every verdict of one act. ``single`` says that there is one sidecar."""

    def __init__(self, timeline: Timeline, clock: Callable[[], float], *, single: bool) -> None:
        self._timeline = timeline
        self._clock = clock
        self._single = single
        self.wrong: list[Wrong] = []
        self.wrong_counts: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        """By shape of request and by what came."""
        self.lines: dict[str, Line] = {}
        """Of denials that named their decision, by its id."""
        self.unnamed: list[Line] = []
        self.in_gaps = 0
        self.without_vault = 0
        """Handshakes that failed because Vault was away."""
        self.asked_again = 0
        self.slowest = 0.0

    @property
    def total(self) -> int:
        """How many requests were answered."""
        return self.answers.total()

    def decided(
        self,
        sent: Sent,
        received: float,
        answer: Answer,
        right: Sequence[Expected],
        decision_id: str = "",
    ) -> None:
        """Take an answer, every one that would be right, and the decision that it names."""
        ask = sent.ask
        if self._is_gap(answer, sent.at, received):
            self.in_gaps += 1
            return
        self.slowest = max(self.slowest, received - sent.at)
        problems = judge(answer, right)
        if problems:
            self.answers[f"{ask.shape} wrong"] += 1
            self.report("decision", f"{ask} {answer}", problems, sent.at, received)
            return
        allowed = answer.told is not None
        reasons = {each.reason for each in right if (each.told is not None) == allowed}
        reason = answer.reason or (reasons.pop() if len(reasons) == 1 else "")
        self.answers[f"{ask.shape} {reason or 'one of several'}"] += 1
        token_id = sent.identity.token_id if ask.path == INSTALL else ""
        outcome = "allow" if allowed else "deny"
        line = Line(ask.path, token_id, outcome, reason, sent.at, received)
        if not decision_id:
            self.unnamed.append(line)
        elif decision_id in self.lines:
            self.report("decision", f"{decision_id} came twice", [f"{ask}"], sent.at, received)
        else:
            self.lines[decision_id] = line

    def unserved(self, sent: Sent, why: str) -> None:
        """Take a handshake that failed.

        A name on demand is had from Vault by who has not been asked for it yet. So it may fail
        while Vault is away, for an Envoy or a sidecar that has begun anew.
        """
        now = self._clock()
        afresh = self._timeline.meets(ANEW, 0, sent.at)
        if sent.name.owner and afresh and self._timeline.meets(OUTAGES, sent.at, now, 3.0):
            self.without_vault += 1
        else:
            self.lost(sent.ask, why, sent.at)

    def lost(self, ask: Ask, why: str, sent: float) -> None:
        """Take a request that got no answer."""
        now = self._clock()
        if self._single and self._timeline.meets(GAPS, sent, now, after=1.0):
            self.in_gaps += 1
            return
        self.report("lost", f"{ask}", [why], sent, now)

    def report(
        self, kind: str, what: str, problems: Iterable[str], sent: float, received: float
    ) -> None:
        """Take something that is wrong; the first of them are told with what was around them."""
        self.wrong_counts[kind] += 1
        if self.wrong_counts[kind] <= _MAX_WRONG:
            around = self._timeline.near(sent, received, AROUND_SECONDS)
            took = f"asked for {received - sent:.3f} s"
            self.wrong.append(
                Wrong(kind, what, (*problems, took), sent, tuple(around)),
            )

    def _is_gap(self, answer: Answer, sent: float, received: float) -> bool:
        unchecked = answer.reason == UNCHECKED or answer.grpc_code == 14
        return self._single and unchecked and self._timeline.meets(GAPS, sent, received, after=1.0)
