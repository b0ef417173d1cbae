"""The buckets of one process, and what it exchanges about them with other processes.

A process reports what its buckets were asked for, and applies the shares that it is given for
it; the process that others report to charges their reports to buckets of its own. None of this
is part of a Check: it happens in the background.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sidecar.limits.bucket import KINDS, SEPARATOR, Bucket, Limit, LimitKind
from sidecar.limits.policy import TENANT, LimitsPolicy
from sidecar.limits.table import MAX_KEYS, BucketTable

SLICE = 500
"""Buckets that are brought to another policy at once; between two slices Checks are answered."""


class SpendReport(NamedTuple):
    """What one bucket was asked for since the last report; ``refused`` is part of ``asked``."""

    key: str
    asked: int
    refused: int


class Share(NamedTuple):
    """What a process may spend of one bucket. ``ahead_ns``: how far it is from being full."""

    key: str
    ahead_ns: int
    share: float
    fair_share: float


class Buckets:
    """The buckets of one process. ``secret`` is the key under which logins are hashed.

    With ``shared`` what is spent is kept for ``report``. ``new_share`` is the share of a bucket
    that is asked for the first time, ``new_strict_share`` that of a strict limit. Times are
    monotonic nanoseconds.
    """

    __slots__ = (
        "_dirty",
        "_entries",
        "_max_keys",
        "_reported",
        "_reshare",
        "_stale",
        "_tables",
        "_tenants",
        "_untouched",
        "new_share",
        "new_strict_share",
        "policy",
        "secret",
    )

    def __init__(
        self,
        policy: LimitsPolicy,
        secret: bytes,
        *,
        max_keys: int = MAX_KEYS,
        shared: bool = False,
    ) -> None:
        self.policy = policy
        self.secret = secret
        self.new_share = self.new_strict_share = 1.0
        # By the limit's identity, then by whom it counts: a look-up joins no texts.
        self._entries: dict[str, dict[str, Bucket]] = defaultdict(dict)
        self._tenants = self._entries[TENANT]
        self._tables: dict[LimitKind, BucketTable] = {
            kind: BucketTable(max_keys, self._entries) for kind in KINDS
        }
        self._dirty: list[Bucket] = []
        self._reshare = False
        """Whether the stale ones have shares of a store that is no more."""
        self._stale: list[Bucket] = []
        """Buckets that may count by a limit of the policy before."""
        self._max_keys = max_keys
        self._reported: dict[str, Bucket] = {}
        # A bucket that nobody reports begins at 1, so that it is never put on the list.
        self._untouched = 0 if shared else 1

    def use_policy(self, policy: LimitsPolicy, now_ns: int) -> None:
        """Count by other limits from now on; what was spent under the same identity stays spent.

        A new bucket does at once. Of those that there are ``SLICE`` do, and the others with each
        ``adjust``: a hundred thousand at once would hold up Checks for a tenth of a second, and
        until then they count by the limit before. Where only tenants' own limits differ, their
        buckets alone are looked at.
        """
        before, self.policy = self.policy, policy
        if before.limits != policy.limits or self._stale:
            self._stale = self.buckets()
        elif before.tenants is not policy.tenants:
            self._stale = list(self._tenants.values())
        self.adjust(now_ns)

    def use_shared(self, *, shared: bool) -> None:
        """Keep what is spent for reports from now on, or no more; every bucket has all of its rate.

        ``adjust`` brings the buckets that there are to it.
        """
        self._untouched = 0 if shared else 1
        self._dirty.clear()
        self.new_share = self.new_strict_share = 1.0
        self._stale, self._reshare = self.buckets(), True

    def use_bound(self, max_keys: int) -> None:
        """Hold at most so many buckets of each kind from now on; ``adjust`` evicts the others."""
        self._max_keys = max_keys
        for table in self._tables.values():
            table.use_bound(max_keys)

    def adjust(self, now_ns: int) -> bool:
        """Bring some more buckets to the policy and the bound; return whether others are left."""
        taken = self._stale[-SLICE:]
        del self._stale[-SLICE:]
        for bucket in taken:
            if self._reshare:
                bucket.fair_share = 1.0
                bucket.set_share(1.0)
                bucket.asked, bucket.refused = self._untouched, 0
            if not self._use_limit(bucket, now_ns):
                self._tables[bucket.limit.kind].forget(bucket)
        self._reshare = self._reshare and bool(self._stale)
        is_larger = [table.shrink(SLICE, now_ns) for table in self._tables.values()]
        return bool(self._stale) or any(is_larger)

    def use_tenants(self, changed: Iterable[str], now_ns: int) -> None:
        """Have the buckets of these tenants count by what the policy says of them."""
        for tenant in changed:
            bucket = self._tenants.get(tenant)
            if bucket is not None:
                self._use_limit(bucket, now_ns)

    def _use_limit(self, bucket: Bucket, now_ns: int) -> bool:
        """Have a bucket count by what the policy says of its key; false where no limit does."""
        limit = self.policy.limit_of(bucket.key)
        if limit is not None and limit != bucket.limit:
            bucket.set_limit(limit, now_ns)
        return limit is not None

    def use_secret(self, secret: bytes) -> None:
        """Hash logins under another key; what was counted under the one before is forgotten."""
        if secret != self.secret:
            self.secret = secret
            self._tables["login"].clear()
            self._tables["account"].clear()

    def report(self, most: int) -> list[SpendReport]:
        """Return what was asked since the last report, of at most so many buckets.

        What was asked of a limit that a reload has removed is told to nobody: it is no limit's.
        """
        taken = [each for each in self._dirty[:most] if self.policy.limit_of(each.key) is not None]
        del self._dirty[:most]
        self._reported = {bucket.key: bucket for bucket in taken}
        reports = [SpendReport(bucket.key, bucket.asked, bucket.refused) for bucket in taken]
        for bucket in taken:
            bucket.asked = bucket.refused = 0
        return reports

    def reported(self, key: str) -> Bucket | None:
        """Return a bucket of the last report."""
        return self._reported.get(key)

    def apply(self, shares: Iterable[Share], now_ns: int) -> None:
        """Take what may be spent from now on. What was spent meanwhile is added to it.

        Where every attempt counts, an answer never gives back what is spent here: it may have been
        computed before a report of it arrived.
        """
        for key, ahead_ns, share, fair_share in shares:
            bucket = self._reported.get(key) or self._told_of(key, now_ns)
            if bucket is None:
                continue
            bucket.fair_share = fair_share
            bucket.set_share(share)
            meanwhile = bucket.asked - bucket.refused
            full_at_ns = now_ns + ahead_ns + meanwhile * bucket.interval_ns
            is_strict = bucket.limit.strict
            bucket.full_at_ns = max(full_at_ns, bucket.full_at_ns) if is_strict else full_at_ns

    def charge(self, report: SpendReport, now_ns: int, since_ns: int) -> Bucket | None:
        """Charge what another process spent since then; ``None`` for a key of no limit."""
        key, asked, refused = report
        limit = self.policy.limit_of(key)
        if limit is None:
            return None
        bucket = self._find(limit, key.partition(SEPARATOR)[2], now_ns)
        if not bucket.asked:
            self._dirty.append(bucket)
        bucket.asked += asked
        bucket.refused += refused
        bucket.refused_total += refused
        bucket.spend(since_ns, asked - refused)
        return bucket

    def buckets(self) -> list[Bucket]:
        """Return every bucket."""
        return [bucket for each in self._entries.values() for bucket in each.values()]

    def sizes(self) -> dict[LimitKind, tuple[int, int]]:
        """Return by kind how many buckets there are, and how many were evicted."""
        return {kind: (len(table), table.evicted) for kind, table in self._tables.items()}

    def tenants(self) -> Iterable[Bucket]:
        """Return the buckets of tenants on all routes."""
        return self._tenants.values()

    def _told_of(self, key: str, now_ns: int) -> Bucket | None:
        """Return the bucket of a strict limit that another process has spent from."""
        limit = self.policy.limit_of(key)
        if limit is None or not limit.strict:
            return None
        value = key.partition(SEPARATOR)[2]
        return self._entries[limit.identity].get(value) or self._add(limit, value, now_ns)

    def _find(self, limit: Limit, value: str, now_ns: int) -> Bucket:
        bucket = self._entries[limit.identity].get(value)
        if bucket is None:
            return self._add(limit, value, now_ns)
        bucket.reused = True
        return bucket

    def _add(self, limit: Limit, value: str, now_ns: int) -> Bucket:
        """Add a bucket; a tenant's counts by its own limit, if it has one."""
        if len(self._dirty) > self._max_keys:
            self._forget_news()
        if limit.identity == TENANT:
            limit = self.policy.tenants.get(value, limit)
        share = self.new_strict_share if limit.strict else self.new_share
        bucket = self._tables[limit.kind].add(value, limit, now_ns, share)
        bucket.asked = self._untouched
        return bucket

    def _forget_news(self) -> None:
        """Leave the older half unreported: a flood of new keys comes faster than reports go."""
        half = len(self._dirty) // 2
        for bucket in self._dirty[:half]:
            bucket.asked = bucket.refused = 0
        del self._dirty[:half]
