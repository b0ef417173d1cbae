"""When a certificate is renewed, and when a failed renewal is tried again. Pure.

30 days before the end for a certificate that lives long enough for that (SECURITY-MODEL
§9); two thirds into the life of a shorter one. Jitter spreads a fleet that was started
at one moment. What a CA advises (ARI) goes before both.
"""

DAY_SECONDS = 86_400.0
RENEW_BEFORE_END_SECONDS = 30 * DAY_SECONDS
SHORT_LIFE_SHARE = 2 / 3
JITTER_SHARE = 0.1
FIRST_RETRY_SECONDS = 10.0
MAX_RETRY_SECONDS = 3600.0
MIN_PAUSE_SECONDS = 10.0
"""Between two renewals of one certificate, however short the life that the CA gives."""


def renew_at(not_before: float, not_after: float, jitter: float) -> float:
    """Return when to renew (Unix seconds); ``jitter`` is uniform in [0, 1)."""
    life = not_after - not_before
    lead = min(RENEW_BEFORE_END_SECONDS, life * (1 - SHORT_LIFE_SHARE))
    return not_after - lead - jitter * JITTER_SHARE * lead


def retry_after(failures: int, remaining_seconds: float, jitter: float) -> float:
    """Return how long to wait after the ``failures``-th failure in a row.

    Doubling, at most an hour and at most a tenth of what remains, never less than the
    first step.
    """
    doubled = FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16)
    ceiling = max(FIRST_RETRY_SECONDS, min(MAX_RETRY_SECONDS, remaining_seconds / 10))
    return min(doubled, ceiling) * (1 - JITTER_SHARE * jitter)
