"""Who is told of a change of state."""

import pytest

from sidecar.keys.alerts import KEYS, REVOCATIONS, say_state
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.alerts import Alerts

INIT, ACTIVE, OUTAGE, DEGRADED = KeyState
CHANGES: dict[tuple[KeyState, KeyState], tuple[str, str]] = {
    (INIT, OUTAGE): ("warning", "can't be refreshed: why"),
    (ACTIVE, OUTAGE): ("warning", "can't be refreshed: why"),
    (INIT, DEGRADED): ("critical", "no refresh for"),
    (ACTIVE, DEGRADED): ("critical", "no refresh for"),
    (OUTAGE, DEGRADED): ("critical", "no refresh for"),
    (OUTAGE, ACTIVE): ("info", "are refreshed again"),
    (DEGRADED, ACTIVE): ("info", "are refreshed again"),
}
"""Every change that somebody is told of. From degraded to an outage it is not over yet."""


@pytest.mark.parametrize("before", KeyState)
@pytest.mark.parametrize("after", KeyState)
def test_every_change_of_state(before: KeyState, after: KeyState) -> None:
    if before is after:
        return
    for words, setting in ((KEYS, "keys.max_age"), (REVOCATIONS, "keys.revocations.max_age")):
        alerts = Alerts(lambda: 0.0, with_webhook=True)
        say_state(alerts, words, before, after, "why")
        said = [(e["data"]["severity"], e["data"]["message"]) for e in alerts.queue]
        wanted = CHANGES.get((before, after))
        assert len(said) == (wanted is not None)
        if wanted is not None:
            ((severity, message),) = said
            assert severity == wanted[0]
            assert wanted[1] in message
            assert (setting in message) is (after is DEGRADED)
