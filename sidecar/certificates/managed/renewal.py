"""When a certificate is renewed, when a failed renewal is retried, and when to alert. Pure.

30 days before the end for a certificate that lives long enough for that (SECURITY-MODEL
§9); two thirds into the life of a shorter one. Jitter spreads a fleet that was started
at one moment. A CA's advice (ARI) takes precedence over both.
"""

from enum import StrEnum

from sidecar.common.backoff import Backoff

DAY_SECONDS = 86_400.0
RENEW_BEFORE_END_SECONDS = 30 * DAY_SECONDS
SHORT_LIFE_SHARE = 2 / 3
SPREAD_SHARE = 0.1
"""The share of its lead by which a renewal is earlier, at most: a fleet's are spread over it."""
FIRST_RETRY_SECONDS = 10.0
MAX_RETRY_SECONDS = 3600.0
MIN_PAUSE_SECONDS = 10.0
"""Between two renewals of one certificate, however short the life that the CA gives."""
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


def renew_at(not_before: float, not_after: float, jitter: float) -> float:
    """Return when to renew (Unix seconds); ``jitter`` is uniform in [0, 1)."""
    life = not_after - not_before
    lead = min(RENEW_BEFORE_END_SECONDS, life * (1 - SHORT_LIFE_SHARE))
    return not_after - lead - jitter * SPREAD_SHARE * lead


def retry_after(
    failures: int, remaining_seconds: float, jitter: float, asked_seconds: float | None = None
) -> float:
    """Return how long to wait after the ``failures``-th failure in a row.

    Doubling, at most an hour and at most a tenth of what remains, never less than the
    first step; and never less than the issuer asked for (``common.backoff``).
    """
    longest = max(FIRST_RETRY_SECONDS, min(MAX_RETRY_SECONDS, remaining_seconds / 10))
    return Backoff(FIRST_RETRY_SECONDS, longest).pause_seconds(failures, jitter, asked_seconds)


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
