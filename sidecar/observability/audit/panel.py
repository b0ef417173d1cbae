"""What the operator's page says of the audit log, and of the last denials. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sidecar.common.printable import plural
from sidecar.common.reason_texts import reasons
from sidecar.observability.alerts import Severity
from sidecar.observability.audit.entry import AuditLine
from sidecar.observability.audit.log import AuditLog
from sidecar.observability.audit.refusals import RecentRefusals, by_reason
from sidecar.observability.audit.sink_watch import SinkWatch
from sidecar.observability.panel import (
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    PanelLink,
    Row,
    Table,
    Value,
)

RECENT_SECONDS = 300.0
"""The window in which denials are looked at as a whole."""
MANY, CLOCK_MANY = 20, 5
"""So many within the window are worth a sentence; of those that a wrong clock causes, fewer."""
_PANEL = "refusals"
_FULL_STATUS = 500
_FUTURE = frozenset({"token_not_yet_valid", "token_issued_in_future"})
_REASONS = (("reason", "Reason"), ("count", "Of the last"), ("means", "What it means"))
_LINES = (
    ("time", "At"), ("reason", "Reason"), ("request", "Request"), ("route", "Route"),
    ("tenant", "Tenant"), ("source", "From"), ("detail", "Detail"),
)  # fmt: skip
_BRIEF = ("time", "reason", "request")
_FIELDS = (
    "decision_id", "outcome", "reason", "status", "route", "method", "host", "path", "source",
    "principal", "tenant", "subject", "kid", "token_id", "token_digest", "detail",
    "shadow_reason", "key_state", "latency_us", "request_id", "trace_id",
)  # fmt: skip
_RELATED = ("source", "tenant", "route", "kid", "token_digest")
_FILTERS = ("reason", *_RELATED)


def audit_panel(audit: AuditLog, watch: SinkWatch, ask: Ask) -> Panel:
    """Return the panel of the audit log."""
    problem, since, where = audit.problem, audit.failing_since, audit.where
    state: Value = Mark("written")
    findings: list[PanelFinding] = []
    if problem:
        state = Mark("not written", Severity.CRITICAL)
        findings.append(
            PanelFinding(
                Severity.CRITICAL,
                "audit-sink",
                f"The audit log can't be written to {where}: {problem}.{_lost(watch)}",
                since,
                "Make room on that disk, or mend the sink's address and permissions. Lines wait in"
                " memory, then are dropped and counted; requests are decided all the same.",
            )
        )
    elif watch.stalled_since is not None:
        state = Mark("stalled", Severity.CRITICAL)
        findings.append(
            PanelFinding(
                Severity.CRITICAL,
                "audit-sink",
                f"The audit log's sink {where} takes no lines: {audit.queued:,} wait."
                f"{_lost(watch)}",
                watch.stalled_since,
                "Look at who reads that pipe or serves that address: it hangs.",
            )
        )
    elif watch.dropped_at is not None and ask.now - watch.dropped_at <= RECENT_SECONDS:
        findings.append(
            PanelFinding(
                Severity.WARNING,
                "audit-sink",
                f"The audit log's sink {where} is too slow.{_lost(watch)}",
                watch.dropped_since,
                "Give it a faster disk or collector, raise audit.queue_lines, or record a sample"
                " of the allowed requests (audit.sample_allowed).",
            )
        )
    if watch.words:
        findings.append(
            PanelFinding(
                Severity.WARNING,
                "audit-sinks",
                f"Audit lines do not reach every sink: {watch.words}.",
                watch.words_since,
                "Mend the sink that is named. Lines wait for it on disk as long as the spool has"
                " room, and are sent in their order afterwards.",
            )
        )
    facts: tuple[tuple[str, Value], ...] = (
        ("state", state),
        ("sink", where),
        ("lines written", audit.written),
        ("lines waiting", audit.queued),
        ("lines lost", audit.dropped),
        ("failed writes", audit.errors),
        ("last error", watch.last_problem),
    )
    return Panel(f"{plural(audit.written, 'line')} written to {where}.", tuple(findings), facts)


def _lost(watch: SinkWatch) -> str:
    return f" {watch.lost:,} lines are lost since." if watch.lost else ""


def refusals_panel(kept: RecentRefusals, ask: Ask) -> Panel:
    """Return the panel of the last denials: all, those that a query chooses, or one's story."""
    lines = kept.latest()
    if wanted := ask.query.get("id"):
        return _story(lines, wanted)
    recent = [each for each in lines if ask.now - _seconds(each) <= RECENT_SECONDS]
    chosen = [each for each in lines if _is_chosen(each, ask)]
    first = (ask.page - 1) * ask.rows
    shown = tuple(map(_row, chosen[first : first + ask.rows]))
    counts: tuple[Row, ...] = tuple(
        (PanelLink(reason, _PANEL, (("reason", reason),)), count, _text(reason, "means"))
        for reason, count in by_reason(lines)
    )
    title = "The last denials"
    if chosen_by := [f"{name} {ask.query[name]}" for name in _FILTERS if ask.query.get(name)]:
        title = f"Denials with {', '.join(chosen_by)}"
    return Panel(
        f"{plural(kept.seen, 'request')} denied since the start; {len(recent):,} in the last five"
        " minutes.",
        tuple(_findings(recent)),
        (("kept in memory", len(lines)),),
        (
            Table(
                "lines",
                title,
                _LINES,
                shown,
                len(chosen),
                is_paged=True,
                brief=_BRIEF,
            ),
            Table("reasons", "By reason", _REASONS, counts, len(counts)),
        ),
    )


def _findings(recent: Sequence[AuditLine]) -> Iterator[PanelFinding]:
    """Yield what the denials of the last minutes say about this sidecar, and about clients."""
    if not recent:
        return
    ours = [each for each in recent if each.status >= _FULL_STATUS]
    if ours:
        reason, count = by_reason(ours)[0]
        yield PanelFinding(
            Severity.CRITICAL, f"refusals/{reason}",
            f"{plural(count, 'request')} within five minutes got {ours[0].status} for a fault of"
            f" this sidecar's ({reason}): {_text(reason, 'means')}",
            _seconds(ours[-1]), _text(reason, "do"),
        )  # fmt: skip
    future = [each for each in recent if each.reason in _FUTURE]
    if len(future) >= CLOCK_MANY:
        yield PanelFinding(
            Severity.WARNING, "refusals/clock",
            f"{plural(len(future), 'token')} within five minutes came from the future"
            f" ({future[0].reason}; the last: {future[0].detail or 'no detail'}). This machine's"
            " clock is behind, or the issuer's is ahead.",
            _seconds(future[-1]),
            "Compare `date -u` here with a clock that is right, and mend the time service"
            " (`chronyc tracking`, `timedatectl`) of the one that is wrong.",
        )  # fmt: skip
    reason, count = by_reason(recent)[0]
    if count >= MANY and 2 * count > len(recent) and reason not in _FUTURE and not ours:
        yield PanelFinding(
            Severity.INFO, f"refusals/{reason}",
            f"{count:,} of the {len(recent):,} denials of the last five minutes are {reason}:"
            f" {_text(reason, 'means')}",
            _seconds(next(each for each in reversed(recent) if each.reason == reason)),
            _text(reason, "do"),
        )  # fmt: skip


def _story(lines: Sequence[AuditLine], wanted: str) -> Panel:
    """Return all that is known of one denial."""
    found = next((e for e in lines if wanted in {e.decision_id, e.request_id, e.trace_id}), None)
    if found is None:
        return Panel(
            "This decision is not among the last denials in memory: `sidecar explain ID --audit"
            " FILE` looks for it in the audit log and its rotated files."
        )
    facts: list[tuple[str, Value]] = [
        ("at", At(_seconds(found))),
        ("what it means", _text(found.reason, "means")),
        ("what to do", _text(found.reason, "do")),
    ]
    facts += [
        (name.replace("_", " "), value)
        for name in _FIELDS
        if (value := getattr(found, name)) not in {"", 0}
    ]
    if found.warnings:
        facts.append(("warnings", ", ".join(found.warnings)))
    related: list[Row] = []
    for name in _RELATED:
        value = getattr(found, name)
        if value:
            count = sum(getattr(each, name) == value for each in lines)
            related.append(
                (name.replace("_", " "), PanelLink(value, _PANEL, ((name, value),)), count)
            )
    columns = (("by", "With the same"), ("value", "Value"), ("count", "Denials in memory"))
    table = Table("related", "Others like it", columns, tuple(related), len(related))
    summary = (
        f"{found.method} {found.host}{found.path} was denied with {found.status}: {found.reason}."
    )
    return Panel(summary, facts=tuple(facts), tables=(table,))


def _is_chosen(line: AuditLine, ask: Ask) -> bool:
    for name in _FILTERS:
        wanted = ask.query.get(name)
        if wanted and getattr(line, name) != wanted:
            return False
    search = ask.search
    return not search or any(search in str(getattr(line, name)).lower() for name in _FIELDS)


def _row(line: AuditLine) -> Row:
    return (
        At(_seconds(line)),
        PanelLink(line.reason, _PANEL, (("id", line.decision_id),)),
        f"{line.method} {line.host}{line.path}",
        line.route, line.tenant, line.source, line.detail,
    )  # fmt: skip


def _seconds(line: AuditLine) -> float:
    try:
        return datetime.fromisoformat(line.time).timestamp()
    except (ValueError, OverflowError):  # a worker's line: its form is checked, its time is not
        return 0.0


def _text(reason: str, what: str) -> str:
    return reasons().get(reason, {}).get(what, "")
