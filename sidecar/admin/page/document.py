"""The JSON twin of each view: the same values, for programs. Pure.

Moments are RFC 3339 texts, lengths of time are seconds, links and marks are their texts.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sidecar.admin.page.status import PlacedFinding, Status
from sidecar.observability.panel import (
    Action,
    At,
    Mark,
    Panel,
    PanelFinding,
    PanelLink,
    Span,
    Table,
    Value,
)


def moment(seconds: float | None) -> str | None:
    """Return a moment as RFC 3339; ``None`` for one that no calendar has."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None


def status_document(status: Status, panels: Iterable[tuple[str, Panel]]) -> dict[str, Any]:
    """Return the first page."""
    return {
        "ready": status.ready,
        "headline": status.headline,
        "since": moment(status.since),
        "severity": status.severity,
        "findings": [_placed(each) for each in status.findings],
        "panels": {name: panel_document(panel) for name, panel in panels},
    }


def panel_document(panel: Panel) -> dict[str, Any]:
    """Return one panel."""
    return {
        "summary": panel.summary,
        "severity": panel.severity,
        "findings": [_finding(each) for each in panel.findings],
        "facts": {name: _plain(value) for name, value in panel.facts},
        "tables": {table.name: _table(table) for table in panel.tables},
    }


def _placed(placed: PlacedFinding) -> dict[str, Any]:
    follows = [_finding(each) for each in placed.follows]
    return {"panel": placed.panel, **_finding(placed.finding), "follows": follows}


def _finding(finding: PanelFinding) -> dict[str, Any]:
    return {
        "severity": finding.severity,
        "part": finding.part,
        "wrong": finding.wrong,
        "since": moment(finding.since),
        "do": finding.do,
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "found": table.found,
        "rows": [
            {
                key: _plain(value)
                for (key, _), value in zip(table.columns, row, strict=True)
                if not isinstance(value, Action)
            }
            for row in table.rows
        ],
    }


def _plain(value: Value) -> Any:
    match value:
        case At(seconds):
            return moment(seconds)
        case Span(seconds):
            return seconds
        case Mark(text, _) | PanelLink(text, _, _):
            return text
        case Action():
            return value.name
        case _:
            return value
