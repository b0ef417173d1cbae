"""The life of a set of keys whose source may go away (SECURITY-MODEL §3).

A sidecar starts without keys (INIT) and does not serve until it has them. From then on
it serves from memory (ACTIVE). When the source can't be read, nothing changes for
requests; only new keys can't arrive (OUTAGE). When that has lasted for longer than
KEY_MAX_AGE, the keys in memory are older than any rotation policy allows, and an operator
must act (DEGRADED). The first refresh that succeeds ends either state.

``TRANSITIONS`` is complete: a pair that is not in it is an error. The diagram in
``docs/keys.md`` is made from it.
"""

from enum import StrEnum
from typing import NamedTuple


class KeyState(StrEnum):
    """The state of the keys: the same word in health, metrics, metadata and audit."""

    INIT = "init"
    ACTIVE = "active"
    OUTAGE = "outage"
    DEGRADED = "degraded"


class KeyEvent(StrEnum):
    """An event in the life of the keys."""

    REFRESHED = "refreshed"
    """The source was read and its keys are in memory."""
    FAILED = "failed"
    """The source can't be read, or does not hold a key."""
    AGED = "aged"
    """KEY_MAX_AGE has passed since the last refresh."""


TRANSITIONS: dict[tuple[KeyState, KeyEvent], KeyState] = {
    (KeyState.INIT, KeyEvent.REFRESHED): KeyState.ACTIVE,
    (KeyState.INIT, KeyEvent.FAILED): KeyState.INIT,
    (KeyState.ACTIVE, KeyEvent.REFRESHED): KeyState.ACTIVE,
    (KeyState.ACTIVE, KeyEvent.FAILED): KeyState.OUTAGE,
    (KeyState.OUTAGE, KeyEvent.REFRESHED): KeyState.ACTIVE,
    (KeyState.OUTAGE, KeyEvent.FAILED): KeyState.OUTAGE,
    (KeyState.OUTAGE, KeyEvent.AGED): KeyState.DEGRADED,
    (KeyState.DEGRADED, KeyEvent.REFRESHED): KeyState.ACTIVE,
    (KeyState.DEGRADED, KeyEvent.FAILED): KeyState.DEGRADED,
}

SEVERITY = {KeyState.ACTIVE: 0, KeyState.INIT: 1, KeyState.OUTAGE: 2, KeyState.DEGRADED: 3}
"""The states by severity: the worst of several is the state of all."""


class LifecycleError(Exception):
    """An event that can't happen in this state: a bug in the sidecar."""


class KeyStateChange(NamedTuple):
    """A transition from one state to another."""

    before: KeyState
    after: KeyState


class Lifecycle:
    """The state of one source's keys. Times are monotonic: a clock set by hand ages no key."""

    def __init__(self, max_age_seconds: float) -> None:
        self.state = KeyState.INIT
        self.refreshed_at: float | None = None
        self.max_age_seconds = max_age_seconds

    def refreshed(self, now: float) -> KeyStateChange:
        """Record a successful refresh."""
        self.refreshed_at = now
        return self._step(KeyEvent.REFRESHED)

    def failed(self, now: float) -> KeyStateChange:
        """Record a failed refresh, and the age of the keys."""
        before = self.state
        self._step(KeyEvent.FAILED)
        if self.state is KeyState.OUTAGE and self.age_seconds(now) >= self.max_age_seconds:
            self._step(KeyEvent.AGED)
        return KeyStateChange(before, self.state)

    def age_seconds(self, now: float) -> float:
        """Return how long ago the last successful refresh was; 0 before the first."""
        return 0.0 if self.refreshed_at is None else now - self.refreshed_at

    def _step(self, event: KeyEvent) -> KeyStateChange:
        before = self.state
        try:
            self.state = TRANSITIONS[before, event]
        except KeyError:
            raise LifecycleError(f"{event} can't happen in {before}") from None
        return KeyStateChange(before, self.state)


def worst(states: list[KeyState]) -> KeyState:
    """Return the worst of several states."""
    return max(states, key=SEVERITY.__getitem__)


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> init"]
    lines += [
        f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items()
    ]
    return "\n".join(lines)
