"""Which alert a change of state of the keys or of the revocations sends."""

from typing import NamedTuple

from sidecar.keys.lifecycle import KeyState
from sidecar.observability.alerts import Alert, Alerts, Severity


class KeyWords(NamedTuple):
    """The words of an alert about a polled source."""

    subject: str
    what: str
    setting: str


KEYS = KeyWords("signing-keys", "keys", "keys.max_age_seconds")
REVOCATIONS = KeyWords("revocations", "revocations", "keys.revocations.max_age_seconds")


def say_state(alerts: Alerts, words: KeyWords, before: KeyState, after: KeyState, why: str) -> None:
    """Send the alert for a change of state, if there is one."""
    match before, after:
        case KeyState.DEGRADED, KeyState.OUTAGE:
            return  # one of several sources works again; the alert of the end waits for the last
        case _, KeyState.DEGRADED:
            severity, message = Severity.CRITICAL, f"no refresh for {words.setting}: {why}"
        case _, KeyState.OUTAGE:
            severity, message = Severity.WARNING, f"{words.what} can't be refreshed: {why}"
        case ((KeyState.OUTAGE | KeyState.DEGRADED), KeyState.ACTIVE):
            severity, message = Severity.INFO, f"{words.what} are refreshed again"
        case _:
            return
    alerts.say(Alert(severity, words.subject, after, message))
