"""The metrics of the audit log, of polled sources and of alerts."""

import logging

from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.observability.audit import AuditLog
from sidecar.observability.collectors import alert_families, audit_families, poll_families
from tests.observability.rendered import rendered


class Sink:
    """Takes everything."""

    def write(self, lines: bytes) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def test_each_number_of_the_audit_log_has_its_name() -> None:
    audit = AuditLog(Sink(), queue_lines=10, on_error=lambda _exc: None)
    assert audit.close(5)
    audit.written, audit.dropped_before, audit.errors = 3, 2, 1
    assert rendered(audit_families(audit)) == {
        ("septem_audit_lines_written_total",): 3,
        ("septem_audit_lines_dropped_total",): 2,
        ("septem_audit_write_errors_total",): 1,
        ("septem_audit_lines_queued",): audit.queued,
    }


def test_polled_sources_by_name_and_outcome() -> None:
    log = logging.getLogger("tests.polls")
    good, bad = (PollStatus(name, name, log, kept="they stay") for name in ("keys", "domains"))
    good.succeeded()
    bad.succeeded()
    bad.failed(Fault("away"))
    assert rendered(poll_families([good, bad])) == {
        ("septem_poll_failing", "source=keys"): 0,
        ("septem_poll_failing", "source=domains"): 1,
        ("septem_polls_total", "outcome=ok", "source=keys"): 1,
        ("septem_polls_total", "outcome=ok", "source=domains"): 1,
        ("septem_polls_total", "outcome=Fault", "source=domains"): 1,
    }


def test_alerts_by_severity_and_deliveries_only_where_there_is_a_webhook() -> None:
    alerts = Alerts(lambda: 0.0, with_webhook=False)
    alerts.say(Alert(Severity.CRITICAL, "keys", "outage", "Vault is away"))
    alerts.dropped = 4
    without = rendered(alert_families(alerts, None))
    assert without["septem_alerts_total", "severity=critical"] == 1
    assert without["septem_alerts_dropped_total",] == 4
    assert len(without) == len(Severity) + 1
