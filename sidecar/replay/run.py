"""Replays a log: line by line, and what came of it as one document."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sidecar.replay.compare import Comparer
from sidecar.replay.line import RecordedLine
from sidecar.replay.tally import Group, GroupKey, Tally
from sidecar.replay.verdict import ReplayOutcome, ReplayVerdict

_EVERY = 4096
_MAX_UNLIKE = 50


def replay(
    lines: Iterable[RecordedLine], comparer: Comparer, tally: Tally, on_progress: Callable[[], None]
) -> None:
    """Compare every line and count; ``on_progress`` is called now and then."""
    for number, line in enumerate(lines):
        if number % _EVERY == 0:
            on_progress()
        tally.add(line, comparer.compare(line))


def report(tally: Tally, comparer: Comparer, new: str, old: str | None) -> dict[str, Any]:
    """Return what was found, as JSON has it: the groups with the most requests first."""
    verdicts = sorted(ReplayVerdict, key=list(ReplayVerdict).index)
    ranks = {verdict: number for number, verdict in enumerate(verdicts)}
    groups = sorted(
        tally.groups.items(), key=lambda each: (ranks[each[0].verdict], -each[1].requests)
    )
    return {
        "config": new,
        "against": old or "what was recorded",
        "from": _time(tally.first),
        "until": _time(tally.last),
        "requests": tally.replayed,
        "skipped_lines": tally.skipped,
        "lost_lines": tally.lost,
        "lines_without_inputs": tally.without_inputs,
        "sampled_share": tally.sampled_share,
        "logins_not_counted": comparer.new.limits.uncounted,
        **{
            verdict.value: {
                "requests": tally.verdicts[verdict],
                "subjects": tally.subjects(verdict),
            }
            for verdict in verdicts
        },
        "groups": [_group(key, group, tally) for key, group in groups],
        "unlike_recorded": [
            {"recorded": recorded, "old": decided, "requests": requests}
            for (recorded, decided), requests in tally.unlike.most_common(_MAX_UNLIKE)
        ],
    }


def _group(key: GroupKey, group: Group, tally: Tally) -> dict[str, Any]:
    return {
        "verdict": key.verdict.value,
        "tenant": key.tenant,
        "route": key.before.route,
        "before": _outcome(key.before),
        "after": _outcome(key.after),
        "cause": key.cause,
        "requests": group.requests,
        "of_requests": tally.totals.get((key.before.route, key.tenant), group.requests),
        "subjects": group.subjects,
        "subjects_are_more": group.are_more,
        "examples": list(group.examples),
        "first": _time(group.first),
        "last": _time(group.last),
    }


def _outcome(outcome: ReplayOutcome) -> dict[str, Any]:
    found: dict[str, Any] = {
        "access": outcome.access,
        "reason": outcome.reason,
        "status": outcome.status,
        "route": outcome.route,
    }
    if outcome.shadowed:
        found["shadow_reason"] = outcome.shadowed
    if not outcome.is_certain:
        found["reason_is_certain"] = False
    return found


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
