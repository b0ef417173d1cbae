"""When a source is polled next: a fleet does not poll in step, nor besiege who is down. Pure.

Sidecars that were started by one deployment would poll at the same moments for hours: the first
pause is a random share of the interval, so that the fleet is spread over all of it from the first
poll on, and each later one is a little shorter than the interval, by jitter. A read that nobody
answers (``Fault.is_outage``) is followed by the usual pause, a minute at most, and from the second
in a row on pauses double up to a minute, with nearly full jitter: those who waited for one thing
must not come back at one moment. An interval of hours is no reason to miss for hours what a Vault
that was away for a second has.
"""

from collections.abc import Callable

from sidecar.common.polling import PollStatus
from workload.backoff import JITTER_SHARE, Backoff, with_jitter

OUTAGE_INTERVALS = 6.0
LONGEST_OUTAGE_SECONDS = 60.0
"""The longest pause of an outage: so many intervals, and no longer than this."""
OUTAGE_JITTER_SHARE = 0.9
"""Full jitter, but for a tenth: nobody comes back at once."""


class PollPace:
    """The pauses of one poll loop.

    ``poll_seconds`` is asked each time, since a reload may change it; ``jitter`` is uniform in
    [0, 1).
    """

    def __init__(self, poll_seconds: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._poll_seconds = poll_seconds
        self._jitter = jitter
        self._is_first = True

    def pause_seconds(self, *statuses: PollStatus) -> float:
        """Return the next pause; ``statuses`` are of all the sources that are read after it.

        As long as one of them answers, all are read at the usual interval.
        """
        poll_seconds, jitter = self._poll_seconds(), self._jitter()
        outages = min((each.outages_in_a_row for each in statuses), default=0)
        asked = max(each.asked_seconds for each in statuses) if outages else 0.0
        is_first, self._is_first = self._is_first, False
        if outages:
            longest = min(OUTAGE_INTERVALS * poll_seconds, LONGEST_OUTAGE_SECONDS)
            poll_seconds = min(poll_seconds, LONGEST_OUTAGE_SECONDS)
        if outages > 1:
            backoff = Backoff(poll_seconds, longest, jitter_share=OUTAGE_JITTER_SHARE)
            return backoff.pause_seconds(outages, jitter, asked)
        share = 1.0 if is_first and not outages else JITTER_SHARE
        return max(with_jitter(poll_seconds, jitter, share), asked)
