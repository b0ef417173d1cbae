"""The soak's table for people, its JSON, and what was around each wrong answer. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.soak.act import Outcome
from bench.soak.judge import Wrong
from bench.soak.levels import Level

BEGIN, END = "<!-- figures of make soak -->", "<!-- end of the figures -->"


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return everything as plain values."""
    return [
        {
            "act": each.plan.name,
            "seed": each.plan.seed,
            "seconds": round(each.seconds, 1),
            "sidecars": each.plan.sidecars,
            "answers": each.judge.total,
            "answers_by_kind": dict(sorted(each.judge.answers.items())),
            "handshakes_judged": each.certificates,
            "wrong": dict(each.judge.wrong_counts),
            "stories": [wrong._asdict() for wrong in each.judge.wrong],
            "handshakes_without_vault": each.judge.without_vault,
            "in_gaps": each.judge.in_gaps,
            "gaps_seconds": [round(gap, 2) for gap in each.gaps],
            "asked_again_by_clients": each.judge.asked_again,
            "slowest_seconds": round(each.judge.slowest, 3),
            "disturbances": dict(sorted(each.done.items())),
            "audit": {
                "answers": each.audit.answers,
                "lines": each.audit.lines,
                "missing": each.audit.missing,
                "dropped_and_counted": each.dropped,
                "lost_with_a_kill": each.audit.killed,
                "lost_with_a_kill_seconds": round(each.audit.killed_seconds, 3),
                "asked_again": each.audit.extra,
            },
            "levels": {name: [level._asdict() for level in found]
                       for name, found in each.levels.items()},
        }
        for each in outcomes
    ]  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [_row("", [each.plan.name for each in outcomes])]
    rows.append("|---" * (len(outcomes) + 1) + "|")
    rows += [
        _row(name, [value(each) for each in outcomes]) for name, value in _ROWS
    ]  # fmt: skip
    return "\n".join(rows)


def _row(name: str, values: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(values)} |"


def _wrong(kind: str) -> Any:
    return lambda outcome: str(outcome.judge.wrong_counts.get(kind, 0))


def _shapes(outcome: Outcome) -> str:
    shapes: Counter[str] = Counter()
    for name, count in outcome.judge.answers.items():
        shapes[name.partition(" ")[0]] += count
    return ", ".join(f"{name} {count:,}" for name, count in shapes.most_common())


def _reasons(outcome: Outcome) -> str:
    return str(len({name.partition(" ")[2] for name in outcome.judge.answers}))


def _disturbances(outcome: Outcome) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(outcome.done.items()))


def _gaps(outcome: Outcome) -> str:
    if not outcome.gaps:
        return "none allowed"
    longest = max(outcome.gaps)
    return f"{outcome.judge.in_gaps}, in {len(outcome.gaps)} restarts of up to {longest:.1f} s"


def _killed(outcome: Outcome) -> str:
    lost = outcome.audit
    return (
        f"{lost.killed}, answered up to {lost.killed_seconds:.1f} s before" if lost.killed else "0"
    )


def _growth(outcome: Outcome) -> str:
    return (
        "; ".join(f"{name} {_worst(found)}" for name, found in sorted(outcome.levels.items()))
        or "no process lived long enough to say"
    )


def _worst(found: Sequence[Level]) -> str:
    worst = max(found, key=lambda each: each.rss_growth_mb)
    files = max(each.files_growth for each in found)
    return (
        f"{worst.rss_growth_mb:+.1f} MB of {worst.rss_mb:.0f} in {worst.seconds:.0f} s, "
        f"{files:+.0f} files"
    )


_ROWS: tuple[tuple[str, Any], ...] = (
    ("sidecars", lambda each: str(each.plan.sidecars)),
    ("seconds", lambda each: f"{each.seconds:.0f}"),
    ("answers judged", lambda each: f"{each.judge.total:,}"),
    ("by shape", _shapes),
    ("reasons met", _reasons),
    ("handshakes judged", lambda each: f"{each.certificates:,}"),
    ("disturbances", _disturbances),
    ("**wrong decisions**", _wrong("decision")),
    ("**lost requests**", _wrong("lost")),
    ("unanswered while one sidecar was restarted", _gaps),
    ("asked again by a client whose kept connection had ended",
     lambda each: str(each.judge.asked_again)),
    ("handshakes that failed while Vault was away", lambda each: str(each.judge.without_vault)),
    ("wrong certificates", _wrong("certificate")),
    ("answers with an audit line", lambda each: f"{each.audit.lines:,}"),
    ("lines lost with a killed process", _killed),
    ("lines dropped by a full queue, and counted", lambda each: f"{each.dropped:.0f}"),
    ("answers without a line that was not counted",
     lambda each: str(max(0, round(each.audit.missing - each.dropped)))),
    ("errors in a log that no disturbance explains", _wrong("log")),
    ("disturbances that did not end as they must", _wrong("disturbance")),
    ("internal faults", _wrong("fault")),
    ("memory and open files, the most that a process grew", _growth),
    ("slowest answer", lambda each: f"{each.judge.slowest:.1f} s"),
)  # fmt: skip


def is_clean(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether nothing was wrong."""
    return not any(each.judge.wrong_counts for each in outcomes)


def story(wrong: Wrong) -> str:
    """Return one wrong answer, and what happened from five seconds before to five after it."""
    lines = [f"WRONG ({wrong.kind}) at {wrong.at:.2f} s: {wrong.what}"]
    lines += [f"    {problem}" for problem in wrong.problems]
    lines += [f"    | {each}" for each in wrong.around]
    return "\n".join(lines)


def put_between_marks(document: str, text: str) -> str:
    """Replace what is between the marks of a document."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
