"""What the operator's page says of CSP reports. All of it comes from unknown clients."""

from sidecar.common.printable import plural
from sidecar.csp.reports.intake import ReportIntake
from sidecar.csp.reports.store import Key, ReportRow, ReportStore
from sidecar.observability.panel import (
    Ask,
    At,
    Panel,
    Row,
    Table,
    Value,
    page_of,
)

_COLUMNS = (
    ("count", "Count"), ("directive", "Directive"), ("blocked", "Blocked"),
    ("disposition", "Disposition"), ("document", "Page"), ("tenant", "Tenant"),
    ("documents", "Pages"), ("clients", "Clients"), ("first", "First"), ("last", "Last"),
)  # fmt: skip


async def reports_panel(store: ReportStore, intake: ReportIntake, ask: Ask) -> Panel:
    """Return the panel: what was blocked most often comes first."""
    rows, found = await page_of(
        store.rows(), ask, key=lambda item: (-item[1].count, item[0]), matches=_matches
    )
    facts: list[tuple[str, Value]] = [
        (outcome.replace("_", " "), count) for outcome, count in intake.reports.items()
    ]
    facts.append(("rows pushed out of the table", store.pushed_out))
    return Panel(
        f"{plural(sum(intake.reports.values()), 'report')} since the start, about"
        f" {plural(len(store), 'thing')}. Anybody can send these: they say where to look, and are"
        " no evidence.",
        facts=tuple(facts),
        tables=(
            Table("blocked", "What was blocked", _COLUMNS, tuple(map(_row, rows)), found,
                  empty="No report yet.", is_paged=True, brief=("count", "directive", "blocked")),
        ),
    )  # fmt: skip


def _matches(item: tuple[Key, ReportRow], search: str) -> bool:
    return any(search in each.lower() for each in item[0])


def _row(item: tuple[Key, ReportRow]) -> Row:
    key, row = item
    return (
        row.count, key.directive, key.blocked, key.disposition, key.document, key.tenant,
        len(row.documents), len(row.clients), At(row.first), At(row.last),
    )  # fmt: skip
