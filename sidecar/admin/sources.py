"""What the operator's page says of everything that is polled. Pure."""

from collections.abc import Sequence

from sidecar.common.polling import PollStatus
from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Ask,
    At,
    Mark,
    Panel,
    Row,
    Table,
    poll_findings,
)

_COLUMNS = (
    ("source", "Source"), ("where", "Where"), ("state", "State"), ("read", "Last read"),
    ("since", "Failing since"), ("problem", "Last error"),
)  # fmt: skip
_DO = "Mend what the words name; it is read again by itself."


def sources_panel(polls: Sequence[PollStatus], _ask: Ask) -> Panel:
    """Return the panel: what can't be read comes first."""
    ordered = sorted(polls, key=lambda each: (not each.problem, each.part))
    failing = sum(bool(each.problem) for each in polls)
    words = f"{failing} of them can't be read" if failing else "all of them can be read"
    rows = tuple(map(_row, ordered))
    return Panel(
        f"{plural(len(polls), 'source')} polled, {words}.",
        poll_findings(ordered, _DO),
        tables=(
            Table("sources", "Polled sources", _COLUMNS, rows, len(rows),
                  brief=("source", "state", "read")),
        ),
    )  # fmt: skip


def _row(status: PollStatus) -> Row:
    state = Mark("can't be read", Severity.WARNING) if status.problem else Mark("read")
    if status.read_at is None and not status.problem:
        state = Mark("not read yet", Severity.INFO)
    return (
        status.part, status.name, state,
        None if status.read_at is None else At(status.read_at),
        None if status.failing_since is None else At(status.failing_since),
        status.problem,
    )  # fmt: skip
