"""What the operator's page says of alerts: the last ones, and whether they are delivered. Pure."""

from sidecar.common.printable import plural
from sidecar.observability.alerts import Alerts, Severity, Webhook
from sidecar.observability.panel import (
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
)

_COLUMNS = (
    ("at", "At"), ("severity", "Severity"), ("subject", "About"), ("state", "State"),
    ("message", "Message"),
)  # fmt: skip
_BRIEF = ("at", "subject", "message")


def alerts_panel(alerts: Alerts, webhook: Webhook | None, _ask: Ask) -> Panel:
    """Return the panel: what has happened, the latest first."""
    rows: tuple[Row, ...] = tuple(
        (At(at), _mark(each.severity), each.subject, each.state, each.message)
        for at, each in reversed(alerts.latest)
    )
    facts: list[tuple[str, Value]] = [
        (f"{severity}", count) for severity, count in alerts.raised.items()
    ]
    findings: tuple[PanelFinding, ...] = ()
    if webhook is not None and webhook.problem:
        findings = (
            PanelFinding(
                Severity.WARNING,
                "alerts",
                f"Alerts are not delivered: {webhook.problem}. {plural(len(alerts.queue), 'alert')}"
                f" waiting, {alerts.dropped:,} lost.",
                webhook.failing_since,
                "Mend the webhook, or alerts.webhook in the configuration. Until then alerts are"
                " in the log and on this page alone.",
            ),
        )
    if webhook is None:
        facts.append(("webhook", "none is configured: alerts are in the log alone"))
    else:
        facts += [
            ("delivered", webhook.delivered), ("failed tries", webhook.failed),
            ("waiting", len(alerts.queue)), ("dropped", alerts.dropped),
        ]  # fmt: skip
    total = sum(alerts.raised.values())
    return Panel(
        f"{plural(total, 'alert')} since the start.",
        findings,
        facts=tuple(facts),
        tables=(
            Table(
                "alerts",
                "What has happened",
                _COLUMNS,
                rows,
                len(rows),
                brief=_BRIEF,
            ),
        ),
    )


def _mark(severity: Severity) -> Mark:
    return Mark(str(severity), None if severity is Severity.INFO else severity)
