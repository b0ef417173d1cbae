"""Audit lines held against answers: each decision once, nothing lost but what is counted. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.soak.judge import Line
from bench.soak.policy import INSTALL
from bench.soak.timeline import Timeline

KILLS = ("sidecar_killed", "worker_killed")
KILL_SECONDS = 2.0
"""What was answered so shortly before a ``kill -9`` may have no line: lines are encoded every
20 ms and written by a thread, and what a process has in memory goes with it."""
AGAIN = (*KILLS, "sidecar_restarted", "restart_overlapped", "envoy_restarted", "listeners_updated")
"""Disturbances in which Envoy or a client asks once more: one request, and two decisions."""


class Comparison(NamedTuple):
    """What the comparison came to."""

    answers: int
    lines: int
    """Of those answers."""
    missing: int
    """Answers without a line that nothing explains but the metric of dropped lines."""
    killed: int
    """Answers whose line a kill took along."""
    killed_seconds: float
    """How long before the kill the first of these was answered, at most."""
    extra: int
    """Lines of requests that were asked again in a disturbance."""
    findings: list[str]


def compare(
    named: Mapping[str, Line],
    unnamed: Sequence[Line],
    audited: Iterable[Mapping[str, Any]],
    dropped: float,
    timeline: Timeline,
) -> Comparison:
    """Compare, by the decision's id where the client was told it, by path and token elsewhere."""
    findings: list[str] = []
    by_id: dict[str, Mapping[str, Any]] = {}
    by_key: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in audited:
        if line["decision_id"] in by_id:
            findings.append(f"two lines have the id {line['decision_id']}")
        by_id[line["decision_id"]] = line
        if line["decision_id"] not in named:
            by_key[_key(line)].append(line)
    missing = [answer for decision_id, answer in named.items() if decision_id not in by_id]
    for decision_id in named.keys() & by_id.keys():
        findings += _differences(named[decision_id], by_id[decision_id])
    more, extra = _without_id(unnamed, by_key, timeline, findings)
    missing += more
    taken = [each for each in missing if _near_kill(each, timeline)]
    killed, unexplained = len(taken), len(missing) - len(taken)
    waits = [timeline.next_start(KILLS, each.received) - each.received for each in taken]
    oldest = max((each for each in waits if each <= KILL_SECONDS), default=0.0)
    if unexplained > dropped:
        first = [each for each in missing if not _near_kill(each, timeline)][:3]
        findings.append(f"{unexplained} answers have no line, {dropped:.0f} are counted: {first}")
    total = len(named) + len(unnamed)
    return Comparison(total, total - len(missing), unexplained, killed, oldest, extra, findings)


def _without_id(
    unnamed: Sequence[Line],
    by_key: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    timeline: Timeline,
    findings: list[str],
) -> tuple[list[Line], int]:
    """Return the answers without a line, and how many lines are of requests asked again."""
    answers: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for answer in unnamed:
        answers[answer.path, answer.token_id].append(answer)
    missing: list[Line] = []
    extra = 0
    for key, given in answers.items():
        lines = by_key.get(key, [])
        if len(lines) < len(given):
            # Which of them has none is not known: those that a kill explains come first.
            ordered = sorted(given, key=lambda each: not _near_kill(each, timeline))
            missing += ordered[: len(given) - len(lines)]
        elif len(lines) > len(given):
            extra += len(lines) - len(given)
            if not any(timeline.meets(AGAIN, each.sent, each.received, 3.0) for each in given):
                findings.append(f"{len(lines)} lines for {len(given)} answers of {key}")
        if len(given) == len(lines) == 1:
            findings += _differences(given[0], lines[0])
    return missing, extra


def _key(line: Mapping[str, Any]) -> tuple[str, str]:
    path = str(line.get("path", ""))
    return path, str(line.get("token_id", "")) if path == INSTALL else ""


def _near_kill(answer: Line, timeline: Timeline) -> bool:
    return timeline.meets(KILLS, answer.sent, answer.received + KILL_SECONDS)


def _differences(answer: Line, line: Mapping[str, Any]) -> list[str]:
    same_reason = answer.reason in {"", line["reason"]}
    if line["outcome"] == answer.outcome and same_reason:
        return []
    said = f"{line['outcome']} {line['reason']}"
    return [f"{answer.path} was answered {answer.outcome} {answer.reason}, its line says {said}"]
