"""Divides one limit among the processes of a group: the workers of one sidecar.

Each process spends from buckets of its own, without asking. In every period it reports what it
was asked for and what it let pass; the divider charges that to the one bucket, and replies how
far the bucket is from being full and which share of the rate the process may spend until the
next reply (``bucket.divide``). What a process let pass is always charged, so whatever it spends
too much before it is told is paid back: over time exactly the rate passes.

The script of ``redis_script`` does the same for the sidecars of a fleet.
"""

from collections.abc import Iterable

from sidecar.limits.bucket import SECOND_NS, BucketDemand, divide, most_ahead_ns
from sidecar.limits.buckets import Buckets, Share, SpendReport

PERIOD_NS = 100_000_000
"""How often a process reports."""
MAX_LATE_NS = 10 * SECOND_NS
MAX_REPORTS = 2048
"""The most buckets in one report; the others wait for the next one."""
MAX_ASKED = 10_000_000
"""More than a process can be asked for in one period: a larger count is forged."""


class Divider:
    """The one bucket for each key, in the process that the others report to."""

    def __init__(self, limiter: Buckets, members: int) -> None:
        self.limiter = limiter
        self._members = members

    def take(
        self, member: int, reports: Iterable[SpendReport], since_ns: int, now_ns: int
    ) -> tuple[list[Share], list[Share]]:
        """Charge a member's reports; return what it may spend, and what others must be told.

        A process learns of a bucket's state when it asks. For a strict limit that is too late:
        every attempt counts, so the others are told of each. Unknown keys are left out.
        ``since_ns`` is when the member had reported before: reports that are late are charged to
        the time in which they were spent.
        """
        since_ns = min(now_ns, max(since_ns, now_ns - MAX_LATE_NS))
        shares: list[Share] = []
        news: list[Share] = []
        for report in reports:
            if not 0 <= report.refused <= report.asked <= MAX_ASKED:
                continue
            bucket = self.limiter.charge(report, now_ns, since_ns)
            if bucket is None:
                continue
            if bucket.demand is None:
                bucket.demand = BucketDemand()
            own, total = bucket.demand.report(member, report.asked, now_ns, PERIOD_NS)
            bucket.full_at_ns = min(
                bucket.full_at_ns, now_ns + most_ahead_ns(bucket.limit, self._members)
            )
            ahead_ns = bucket.full_at_ns - now_ns
            share, fair = divide(bucket.limit, ahead_ns, own, total, self._members)
            shares.append(
                Share(report.key, ahead_ns, share * bucket.share, fair * bucket.fair_share)
            )
            if bucket.limit.strict:
                part = bucket.share / self._members
                news.append(Share(report.key, ahead_ns, part, part))
        return shares, news
