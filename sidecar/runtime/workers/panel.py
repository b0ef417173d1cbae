"""What the operator's page says of the processes that answer Checks. Pure."""

from collections.abc import Iterator, Sequence

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
    Span,
    Table,
)
from sidecar.runtime.workers.process import Ended
from sidecar.runtime.workers.slot import Slot, WorkerEnd

RECENT_SECONDS = 600.0
"""So long an end that nobody asked for is worth a sentence."""
START_SECONDS = 30.0
"""So long a worker may take to start."""
_MAX_ENDS = 20
_MEBIBYTE = 1_048_576
_COLUMNS = (
    ("worker", "Worker"), ("address", "Address"), ("state", "State"), ("since", "Since"),
    ("pid", "Process"), ("checks", "Decisions"), ("cpu", "CPU"), ("memory", "Memory, MiB"),
    ("connections", "Connections"), ("keys", "Key version"), ("ends", "Ended unasked"),
    ("drain", ""),
)  # fmt: skip
_BRIEF = ("worker", "state", "since", "ends")
_ENDS = (("at", "At"), ("worker", "Worker"), ("how", "How"), ("why", "Why"))
_DO = {
    Ended.EXITED: "Exit code -9 is the kernel's, often for want of memory (`dmesg | grep -i oom`):"
    " give the container more, or have fewer workers. Another code is a bug: the log has the"
    " worker's last words.",
    Ended.HUNG: "It got no CPU, or met a bug: look at the CPU limit and the load of this machine,"
    " then at the log.",
    Ended.BROKE_PROTOCOL: "It may have been taken over by a request (docs/operations.md): keep the"
    " log and the audit log of that minute, and look at what this listener was sent.",
    Ended.ASKED: "",
}


def workers_panel(slots: Sequence[Slot], newest: int, ask: Ask) -> Panel:
    """Return the panel; ``newest`` is the version of the keys that is to be used."""
    serving = sum(slot.serving for slot in slots)
    rows = tuple(_row(slot, newest) for slot in slots)
    ends: list[tuple[WorkerEnd, Row]] = [
        (end, (At(end.at), slot.number, Mark(str(end.ended), _severity(end)), end.why))
        for slot in slots
        for end in slot.ends
    ]
    ends.sort(key=lambda pair: pair[0].at, reverse=True)
    latest = tuple(row for _, row in ends[:_MAX_ENDS])
    tables = (
        Table("workers", "Workers", _COLUMNS, rows, len(rows), brief=_BRIEF),
        Table("ends", "Their last ends", _ENDS, latest, len(ends)),
    )  # fmt: skip
    return Panel(
        f"{serving} of {plural(len(slots), 'worker')} serve.", tuple(_findings(slots, ask.now)),
        (), tables,
    )  # fmt: skip


def _severity(end: WorkerEnd) -> Severity | None:
    return None if end.ended is Ended.ASKED else Severity.WARNING


def _findings(slots: Sequence[Slot], now: float) -> Iterator[PanelFinding]:
    serving = sum(slot.serving for slot in slots)
    for slot in slots:
        recent = [
            end for end in slot.ends
            if end.ended is not Ended.ASKED and now - end.at <= RECENT_SECONDS
        ]  # fmt: skip
        if recent:
            last = recent[-1]
            again = "It serves again." if slot.serving else "It does not serve now."
            yield PanelFinding(
                Severity.WARNING,
                f"worker/{slot.number}",
                f"Worker {slot.number} ended {plural(len(recent), 'time')} within the last ten"
                f" minutes, at last because {last.why}. {again}",
                recent[0].at,
                _DO[last.ended],
            )
        elif not slot.serving and serving and not _was_asked(slot, now):
            yield PanelFinding(
                Severity.WARNING, f"worker/{slot.number}",
                f"Worker {slot.number} does not serve.",
                slot.ends[-1].at if slot.ends else None,
                "It is being started; if that lasts for more than half a minute, the log says"
                " what it waits for.",
            )  # fmt: skip


def _was_asked(slot: Slot, now: float) -> bool:
    """Return whether an operator has just had it end: then it is being started again."""
    last = slot.ends[-1] if slot.ends else None
    return last is not None and last.ended is Ended.ASKED and now - last.at <= START_SECONDS


def _row(slot: Slot, newest: int) -> Row:
    stats = slot.stats()
    unasked = sum(count for ended, count in slot.restarts.items() if ended is not Ended.ASKED)
    state = Mark("serves") if slot.serving else Mark("starting", Severity.WARNING)
    if slot.serving and slot.version != newest:
        state = Mark("has older keys", Severity.INFO)
    warning = (
        f"Worker {slot.number} answers what it has, ends, and is started again. Envoy sends its"
        " requests to the others meanwhile."
    )
    return (
        slot.number, slot.address, state,
        None if slot.serving_since is None else At(slot.serving_since),
        "" if slot.process is None else str(slot.process.pid),
        sum(stats.counters.checks.values()), Span(round(stats.cpu_seconds, 1)),
        round(stats.resident_bytes / _MEBIBYTE), stats.connections, slot.version, unasked,
        Action("drain", "Drain and restart …", str(slot.number), warning),
    )  # fmt: skip
