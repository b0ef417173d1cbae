"""What the operator's page says of the configuration in force, and of its reloads. Pure."""

from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Action,
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
    utc,
)
from sidecar.runtime.reload.outcome import MAX_LISTED, ReloadOutcome, ReloadResult
from sidecar.runtime.reload.reloader import Reloader

_DIGEST_SHOWN = 12
_MAX_CHANGES = 20
_COLUMNS = (("at", "At"), ("result", "Result"), ("changes", "Changed settings"), ("why", "Why"))
_BRIEF = ("at", "result")
RELOAD = Action("reload", "Reload the configuration")
RESTART = Action(
    "restart",
    "Reload, with a restart if it takes one …",
    warning="If the file changes what no reload can (addresses, workers, the login to Vault), a new"
    " sidecar starts in this process and takes over without a gap. If it does not become ready,"
    " this one goes on.",
)
_DO = {
    ReloadResult.INVALID: "Correct the file: `sidecar config check` lists every mistake with its"
    " line. Then reload.",
    ReloadResult.RESTART_REQUIRED: "Reload with a restart (`sidecar config reload --allow-restart`,"
    " or the button), or take back what needs one.",
    ReloadResult.RESTART_FAILED: "Mend what the words name, or take back the change; the log says"
    " how far the new one came.",
    ReloadResult.UNPREPARED: "Mend what the words name (what the file names newly can't be read or"
    " obtained), or take back the change. Then reload.",
}


def reload_panel(reloader: Reloader, path: str, _ask: Ask) -> Panel:
    """Return the panel; ``path`` is the file of the configuration."""
    facts: tuple[tuple[str, Value], ...] = (
        ("file", path),
        ("in force", reloader.digest[:_DIGEST_SHOWN]),
        ("in force or confirmed", At(reloader.succeeded_at)),
        *((f"reloads: {result}", count) for result, count in reloader.results.items() if count),
        ("warnings of the configuration", len(reloader.warnings.found)),
    )
    latest = tuple(_row(at, outcome) for at, outcome in reversed(reloader.latest))
    tables = [Table("reloads", "Last reloads", _COLUMNS, latest, len(latest), brief=_BRIEF)]
    if warnings := reloader.warnings.found:
        rows = tuple((each,) for each in warnings[:MAX_LISTED])
        tables.append(
            Table("warnings", "Warnings", (("warning", "Hardly meant"),), rows, len(warnings))
        )
    summary = f"{path} is in force as of {utc(reloader.succeeded_at)}."
    return Panel(summary, _refused(reloader), facts, tuple(tables), (RELOAD, RESTART))


def _refused(reloader: Reloader) -> tuple[PanelFinding, ...]:
    if not reloader.is_refused or not reloader.latest:
        return ()
    _, outcome = reloader.latest[-1]
    return (
        PanelFinding(
            Severity.WARNING,
            "config",
            f"The last reload was rejected ({outcome.result}): {outcome.message}.",
            reloader.refused_since,
            _DO.get(outcome.result, "Mend what the words name, then reload."),
        ),
    )


def _row(at: float, outcome: ReloadOutcome) -> Row:
    changed = [each.path for each in outcome.changes]
    shown = ", ".join(changed[:_MAX_CHANGES])
    if len(changed) > _MAX_CHANGES:
        shown += f" and {plural(len(changed) - _MAX_CHANGES, 'more setting')}"
    severity = Severity.WARNING if outcome.problems else None
    return At(at), Mark(str(outcome.result), severity), shown, "; ".join(outcome.problems[:5])
