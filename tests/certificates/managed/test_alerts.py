"""Which change of a certificate is an alert, of which severity, and what it says."""

from typing import Any

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.alerts import alert_level, alert_probe
from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.renewal import Level
from sidecar.observability.alerts import Alerts
from tests.support.managed_world import Nobody

LEVELS = [
    (Level.WARNING, "warning", "half of the time to renew it has passed: no"),
    (Level.CRITICAL, "critical", "a tenth of the time to renew it is left: no"),
    (Level.ENDED, "critical", "it has expired and is no longer served: no"),
    (Level.FRESH, "info", "it is renewed; its level was warning"),
]


def said(alerts: Alerts) -> list[tuple[Any, Any, Any]]:
    return [
        (each["subject"], each["data"]["severity"], each["data"]["message"])
        for each in alerts.queue
    ]


@pytest.mark.parametrize(("level", "severity", "message"), LEVELS)
def test_a_change_of_level(level: Level, severity: str, message: str) -> None:
    alerts = Alerts(lambda: 0.0, with_webhook=True)
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    managed.level, managed.last_fault = level, "no"
    alert_level(alerts, managed, Level.WARNING)
    assert said(alerts) == [("certificate/edge", severity, message)]


@pytest.mark.parametrize(
    ("is_healthy", "severity", "part"),
    [(True, "info", "serves it again"), (False, "warning", "it was given: none")],
)
def test_what_a_listener_serves(is_healthy: bool, severity: str, part: str) -> None:
    alerts = Alerts(lambda: 0.0, with_webhook=True)
    alert_probe(alerts, "edge", is_healthy, "none")
    ((subject, found, message),) = said(alerts)
    assert (subject, found) == ("certificate/edge", severity)
    assert part in message
