"""The alerts of configured certificates: how near their end they are, and what is served."""

from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.renewal import Level
from sidecar.observability.alerts import Alert, Alerts, Severity


def alert_level(alerts: Alerts, managed: ManagedCertificate, before: Level) -> None:
    """Send the alert for a change of level."""
    why = f": {managed.last_fault}" if managed.last_fault else ""
    match managed.level:
        case Level.WARNING:
            severity, message = Severity.WARNING, f"half of the time to renew it has passed{why}"
        case Level.CRITICAL:
            severity, message = Severity.CRITICAL, f"a tenth of the time to renew it is left{why}"
        case Level.ENDED:
            severity, message = Severity.CRITICAL, f"it has expired and is no longer served{why}"
        case Level.FRESH:
            severity, message = Severity.INFO, f"it is renewed; its level was {before}"
    alerts.say(Alert(severity, f"certificate/{managed.name}", managed.level, message))


def alert_probe(alerts: Alerts, name: str, is_healthy: bool, seen: str) -> None:
    """Send the alert for what a listener serves, when that changes."""
    if is_healthy:
        alert = Alert(
            Severity.INFO, f"certificate/{name}", "served", "the listener serves it again"
        )
    else:
        words = f"the listener does not serve what it was given: {seen}"
        alert = Alert(Severity.WARNING, f"certificate/{name}", "not served", words)
    alerts.say(alert)
