"""How near its end a certificate is that is not renewed, and when to worry. Pure.

When it is renewed, and tried again, is ``workload.x509.renewal``.
"""

from enum import StrEnum

WARNING_SHARE = 0.5
CRITICAL_SHARE = 0.1


class Level(StrEnum):
    """How near its end a certificate is that is not renewed."""

    FRESH = "fresh"
    WARNING = "warning"
    """Half of the time that was left for renewing it has passed."""
    CRITICAL = "critical"
    """A tenth of that time remains."""
    ENDED = "ended"


def level_at(due: float, not_after: float, now: float) -> Level:
    """Return how bad it is at ``now`` that a renewal that was due at ``due`` has not succeeded."""
    if now >= not_after:
        return Level.ENDED
    left = not_after - due
    for level, share in ((Level.CRITICAL, CRITICAL_SHARE), (Level.WARNING, WARNING_SHARE)):
        # As next_level_at reckons it, to the last bit: or a turn at the very moment would miss it.
        if now >= due and now >= not_after - share * left:
            return level
    return Level.FRESH


def next_level_at(due: float, not_after: float, now: float) -> float:
    """Return when ``level_at`` changes next, the end at the latest."""
    left = not_after - due
    moments = (not_after - WARNING_SHARE * left, not_after - CRITICAL_SHARE * left, not_after)
    return min((moment for moment in moments if moment > now), default=not_after)
