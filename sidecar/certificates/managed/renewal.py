"""How near its end a certificate is that was not renewed, and when to alert. Pure.

When it is renewed, and when a failed renewal is retried, is ``workload.x509.renewal``.
"""

from enum import StrEnum

WARNING_SHARE = 0.5
CRITICAL_SHARE = 0.1


class Level(StrEnum):
    """How close to its end a certificate is that has not been renewed."""

    FRESH = "fresh"
    WARNING = "warning"
    """Half of the time for renewing it has passed."""
    CRITICAL = "critical"
    """A tenth of that time remains."""
    ENDED = "ended"


def level_at(due: float, not_after: float, now: float) -> Level:
    """Return the level at ``now`` of a certificate whose renewal became due at ``due``."""
    if now >= not_after:
        return Level.ENDED
    left = not_after - due
    for level, share in ((Level.CRITICAL, CRITICAL_SHARE), (Level.WARNING, WARNING_SHARE)):
        # The same arithmetic as in next_level_at, so that a run at that very moment sees it.
        if now >= due and now >= not_after - share * left:
            return level
    return Level.FRESH


def next_level_at(due: float, not_after: float, now: float) -> float:
    """Return when ``level_at`` changes next; the end at the latest."""
    left = not_after - due
    moments = (not_after - WARNING_SHARE * left, not_after - CRITICAL_SHARE * left, not_after)
    return min((moment for moment in moments if moment > now), default=not_after)
