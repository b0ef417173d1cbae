"""What the operator's page says of audit sinks with threads of their own, and of the spool."""

from collections.abc import Iterator

from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.audit.metrics import outcomes_of
from sidecar.observability.audit.sink_set import AuditSinks, SinkEntry, Way
from sidecar.observability.audit.spool.reader import SpoolReader
from sidecar.observability.panel import (
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
)

_COLUMNS = (
    ("sink", "Sink"), ("state", "State"), ("waiting", "Waiting"), ("delivered", "Delivered"),
    ("refused", "Refused"), ("dropped", "Dropped"), ("damaged", "Damaged"), ("errors", "Failures"),
)  # fmt: skip
_BRIEF = ("sink", "state", "waiting")


def with_sinks(panel: Panel, sinks: AuditSinks) -> Panel:
    """Return the panel of the audit log with what is told of its sinks, where there are threads."""
    rows = tuple(map(_row, sorted(sinks.entries.items())))
    if all(entry.delivery is None for entry in sinks.entries.values()):
        return panel
    table = Table("sinks", "Sinks", _COLUMNS, rows, len(rows), brief=_BRIEF)
    facts: tuple[tuple[str, Value], ...] = ()
    if (spool := sinks.spool) is not None:
        facts = (
            ("bytes of the spool", spool.store.used_bytes),
            ("bound of the spool", spool.store.max_bytes),
        )
    return panel._replace(
        findings=(*panel.findings, *_findings(sinks)),
        facts=(*panel.facts, *facts),
        tables=(*panel.tables, table),
    )


def _row(named: tuple[str, SinkEntry]) -> Row:
    name, entry = named
    delivery, counts = entry.delivery, outcomes_of(entry)
    if delivery is None:
        return (name, Mark("direct"), 0, 0, 0, 0, 0, 0)
    state = Mark("not taken", _severity(entry)) if delivery.problem else Mark("taken")
    return (name, state, delivery.waiting, *counts.values(), delivery.errors)


def _findings(sinks: AuditSinks) -> Iterator[PanelFinding]:
    spool = sinks.spool
    if spool is not None and spool.problem:
        yield PanelFinding(
            Severity.CRITICAL,
            "audit-spool",
            f"Audit lines are not spooled in {spool.store.folder}: {spool.problem}.",
            None,
            "Look at that disk and folder, and at the spool's key in Vault. Lines wait in memory,"
            " then are dropped and counted.",
        )
    for name, entry in sorted(sinks.entries.items()):
        if entry.delivery is not None and entry.delivery.problem:
            yield _finding(name, entry)


def _finding(name: str, entry: SinkEntry) -> PanelFinding:
    delivery = entry.delivery
    assert delivery is not None  # noqa: S101 - the caller has looked
    source = delivery.source
    since = source.oldest_at_ms / 1000 if isinstance(source, SpoolReader) else None
    where = "in the spool" if entry.way is Way.SPOOL else "in memory, and are lost if it fills"
    return PanelFinding(
        _severity(entry),
        f"audit-sink-{name}",
        f"The audit sink {name} takes no lines: {delivery.problem}."
        f" {plural(delivery.waiting, 'line')} wait {where}.",
        since or None,
        f"Mend that server, or the sink {name} in audit.to. Lines are sent by themselves then;"
        " requests are decided all the same.",
    )


def _severity(entry: SinkEntry) -> Severity:
    return Severity.WARNING if entry.way is Way.SPOOL else Severity.CRITICAL
