"""Panels in which every text is one that an attacker would like to be markup."""

from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Action,
    At,
    Mark,
    Panel,
    PanelFinding,
    PanelLink,
    Row,
    Span,
    Table,
)


def hostile_panel(text: str) -> Panel:
    """Return a panel with this text in every place that has one."""
    row: Row = (
        text, Mark(text, Severity.WARNING),
        PanelLink(text, "refusals", (("id", text), ("q", text))),
        Action("renew", "Renew", text), Action("revoke", "Revoke …", text, text), At(1.0), Span(2),
    )  # fmt: skip
    columns = tuple((f"c{number}", f"C{number}") for number in range(len(row)))
    return Panel(
        text,
        (
            PanelFinding(Severity.CRITICAL, text, text, 1.0, text),
            PanelFinding(Severity.WARNING, f"{text}2", text, None, text, text),
        ),
        ((text, text),),
        (Table("t", text, columns, (row,), 900, text, is_paged=True, brief=("c0", "c1", "c2")),),
        (Action("refresh", text, text), Action("reload", text, text, text)),
    )
