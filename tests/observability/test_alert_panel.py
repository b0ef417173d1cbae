"""The last alerts, and whether they are delivered."""

from sidecar.observability.alert_panel import alerts_panel
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.observability.panel import Ask, At, Mark


def test_the_latest_come_first() -> None:
    times = iter([1.0, 2.0])
    alerts = Alerts(lambda: next(times), with_webhook=False)
    alerts.say(Alert(Severity.CRITICAL, "signing-keys", "degraded", "too old"))
    alerts.say(Alert(Severity.INFO, "signing-keys", "active", "read again"))
    panel = alerts_panel(alerts, None, Ask(9.0))
    (table,) = panel.tables
    assert table.rows == (
        (At(2.0), Mark("info"), "signing-keys", "active", "read again"),
        (At(1.0), Mark("critical", Severity.CRITICAL), "signing-keys", "degraded", "too old"),
    )
    assert panel.summary == "2 alerts since the start."
    assert "none is configured" in str(dict(panel.facts)["webhook"])


class Away:
    """A webhook that does not answer."""

    problem, failing_since = "the webhook answered 500", 7.0
    delivered, failed = 1, 5


def test_alerts_that_are_not_delivered() -> None:
    alerts = Alerts(lambda: 1.0, with_webhook=True)
    alerts.say(Alert(Severity.INFO, "a", "b", "c"))
    (finding,) = alerts_panel(alerts, Away(), Ask(9.0)).findings  # type: ignore[arg-type]
    assert (finding.part, finding.since) == ("alerts", 7.0)
    assert "the webhook answered 500. 1 alert waiting" in finding.wrong
