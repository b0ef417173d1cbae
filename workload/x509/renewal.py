"""When a certificate is renewed, and when a failed renewal is retried. Pure.

30 days before the end for a certificate that lives long enough for that (SECURITY-MODEL
§9); two thirds into the life of a shorter one. Jitter spreads a fleet that was started
at one moment. A CA's advice (ARI) takes precedence over both.
"""

from workload.backoff import Backoff

DAY_SECONDS = 86_400.0
RENEW_BEFORE_END_SECONDS = 30 * DAY_SECONDS
SHORT_LIFE_SHARE = 2 / 3
SPREAD_SHARE = 0.1
"""The share of its lead by which a renewal is earlier, at most: a fleet's are spread over it."""
FIRST_RETRY_SECONDS = 10.0
MAX_RETRY_SECONDS = 3600.0
MIN_PAUSE_SECONDS = 10.0
"""Between two renewals of one certificate, however short the life that the CA gives."""


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
    first step; and never less than the issuer asked for (``workload.backoff``).
    """
    longest = max(FIRST_RETRY_SECONDS, min(MAX_RETRY_SECONDS, remaining_seconds / 10))
    return Backoff(FIRST_RETRY_SECONDS, longest).pause_seconds(failures, jitter, asked_seconds)
