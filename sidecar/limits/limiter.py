"""What a Check asks: may this request pass, by every limit that counts it.

A request is counted by several limits at once. All of them are asked before any is charged: if
one refuses, the tightest (the one that makes it wait longest) decides, and nothing is spent from
the others, so a client that is refused by one limit keeps its place in the rest. Only where every
limit has room is each of them charged one request.

Everything is in memory, and nothing waits. Where buckets are held together with other processes,
``report`` and ``apply`` exchange what was spent for what may be spent, in the background.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sidecar.limits.account import read_account, throttle_key
from sidecar.limits.address import address_key
from sidecar.limits.bucket import KINDS, Bucket, Limit, LimitKind
from sidecar.limits.fields import Field, passing_fields, refusal_fields, whole_seconds
from sidecar.limits.policy import SEPARATOR, TENANT, LimitsPolicy, LoginThrottle, RouteLimits
from sidecar.limits.table import MAX_KEYS, BucketTable

_TENANT_PREFIX = TENANT + SEPARATOR
LimitedKey = tuple[str, str, str]
"""What became of a request over a limit, the limit's kind, and the route."""
REFUSED, SHADOW = "refused", "shadow"


class LimitRefusal(NamedTuple):
    """The limit that decides, and how long until a request like this one would pass."""

    limit: Limit
    wait_ns: int

    @property
    def detail(self) -> str:
        """Return the text for the audit log: the limit, its rate, when it would have passed."""
        return f"{self.limit}; would have passed in {self.wait_ns / 1e9:.3f} s"

    @property
    def fields(self) -> tuple[Field, ...]:
        """Return the response fields of the refusal."""
        return refusal_fields(self.limit, whole_seconds(self.wait_ns))


class CountedRequest(NamedTuple):
    """What a request is counted by. ``tenant`` and ``token`` are of a verified token, or empty."""

    tenant: str = ""
    token: str = ""
    source: str = ""
    """The client's address, as Envoy determined it."""
    body: bytes = b""
    headers: Mapping[str, bytes] = {}


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


class RateLimiter:
    """The buckets of one process. ``secret`` is the key under which logins are hashed.

    ``counts`` is where requests over a limit are counted. With ``shared`` what is spent is kept for
    ``report``. ``new_share`` is the share of a bucket that is asked for the first time,
    ``new_strict_share`` that of a strict limit. Times are monotonic nanoseconds.
    """

    __slots__ = (
        "_counts",
        "_dirty",
        "_max_keys",
        "_reported",
        "_tables",
        "_tenants",
        "_untouched",
        "new_share",
        "new_strict_share",
        "policy",
        "secret",
        "tightest",
    )

    def __init__(
        self,
        policy: LimitsPolicy,
        secret: bytes,
        *,
        max_keys: int = MAX_KEYS,
        shared: bool = False,
        counts: "dict[LimitedKey, int] | None" = None,
    ) -> None:
        self.policy = policy
        self.secret = secret
        self._counts = {} if counts is None else counts
        self.new_share = self.new_strict_share = 1.0
        self.tightest: Bucket | None = None
        """The bucket with the least room, of the last request that passed."""
        self._tables: dict[LimitKind, BucketTable] = {kind: BucketTable(max_keys) for kind in KINDS}
        self._tenants = self._tables["tenant"].entries
        self._dirty: list[Bucket] = []
        self._max_keys = max_keys
        self._reported: dict[str, Bucket] = {}
        # A bucket that nobody reports begins at 1, so that it is never put on the list.
        self._untouched = 0 if shared else 1

    def take_tenant(self, limits: RouteLimits, tenant: str, now_ns: int) -> LimitRefusal | None:
        """Count a request by its tenant alone; return why it is refused, or ``None``.

        The same as ``take`` where ``RouteLimits.only_tenant`` says that nothing else counts it.
        """
        bucket = self._tenants.get(_TENANT_PREFIX + tenant)
        if bucket is None:
            key = _TENANT_PREFIX + tenant
            bucket = self._add(key, self._limit_of(TENANT, key), now_ns)
        else:
            bucket.reused = True
        if not bucket.asked:
            self._dirty.append(bucket)
        bucket.asked += 1
        full_at = bucket.full_at_ns
        if full_at <= now_ns:
            bucket.full_at_ns = now_ns + bucket.interval_ns
        elif full_at - now_ns <= bucket.tolerance_ns:
            bucket.full_at_ns = full_at + bucket.interval_ns
        else:
            return self._refuse(bucket, limits, now_ns)
        return None

    def take(
        self, limits: RouteLimits, request: CountedRequest, now_ns: int
    ) -> LimitRefusal | None:
        """Count a request by every limit of its route; return why it is refused, or ``None``."""
        return self._take(limits, self._buckets(limits, request, now_ns), now_ns)

    def take_address(self, limits: RouteLimits, source: str, now_ns: int) -> LimitRefusal | None:
        """Count a request by its address alone: one that is answered without the application."""
        return self._take(limits, self._of_address(limits, source, now_ns), now_ns)

    def _take(self, limits: RouteLimits, buckets: list[Bucket], now_ns: int) -> LimitRefusal | None:
        """Charge every bucket, or none. The statements of ``Bucket`` are repeated for speed."""
        for bucket in buckets:
            if bucket.full_at_ns - now_ns > bucket.tolerance_ns:
                refusal = self._take_over(limits, buckets, now_ns)
                if refusal is not None:
                    return refusal
                break
        else:
            for bucket in buckets:
                if not bucket.asked:
                    self._dirty.append(bucket)
                bucket.asked += 1
                full_at = bucket.full_at_ns
                full_at = max(now_ns, full_at)
                bucket.full_at_ns = full_at + bucket.interval_ns
        if limits.reports:
            self.tightest = min(buckets, key=lambda each: each.remaining(now_ns), default=None)
        return None

    def _take_over(
        self, limits: RouteLimits, buckets: list[Bucket], now_ns: int
    ) -> LimitRefusal | None:
        """Take a request that is over a limit; it passes where only shadow limits are exceeded."""
        over = [bucket for bucket in buckets if bucket.wait_ns(now_ns) > 0]
        if not limits.shadow:
            deciding = [bucket for bucket in over if not bucket.limit.shadow]
            if deciding:
                worst = max(deciding, key=lambda each: each.wait_ns(now_ns))
                self._touch(worst)
                return self._refuse(worst, limits, now_ns)
        for bucket in buckets:
            self._touch(bucket)
            if bucket in over:
                self._refuse(bucket, limits, now_ns, SHADOW)
            else:
                bucket.spend(now_ns)
        return None

    def passing_fields(self, now_ns: int) -> tuple[Field, ...]:
        """Return the response fields of the last request that passed."""
        return () if self.tightest is None else passing_fields(self.tightest, now_ns)

    def refuse_address(self, limits: RouteLimits, source: str, now_ns: int) -> LimitRefusal | None:
        """Return why an address may send nothing now; nothing is spent where it may.

        Asked before a signature is verified, so that a flood of forged tokens from one address
        costs no verification.
        """
        if limits.shadow:
            return None
        for limit in limits.address:
            key = f"{limit.identity}{SEPARATOR}{address_key(source)}"
            bucket = self._tables["address"].entries.get(key)
            if bucket is not None and not limit.shadow and bucket.wait_ns(now_ns) > 0:
                self._touch(bucket)
                return self._refuse(bucket, limits, now_ns)
        return None

    def lease(self, tenant: str, now_ns: int, count: int, unspent: int = 0) -> int:
        """Spend up to ``count`` requests of a tenant at once; return how many were granted.

        For whoever lets requests pass without a Check of each (a cache of decisions). ``unspent``
        is what is left of its lease before, which is given back first; below 0, how much more
        was used than was leased, which is charged. At most half of the room is leased: the other
        half is for requests that are asked for meanwhile.
        """
        key = _TENANT_PREFIX + tenant
        bucket = self._tenants.get(key)
        if bucket is None:
            bucket = self._add(key, self._limit_of(TENANT, key), now_ns)
        if unspent:
            bucket.spend(now_ns, -unspent)
        granted = max(0, min(count, bucket.room(now_ns) // 2))
        if granted:
            bucket.reused = True
            bucket.spend(now_ns, granted)
        self._count_leased(bucket, granted - unspent)
        return granted

    def burst_of(self, tenant: str) -> int:
        """Return how many requests of a tenant may pass at once, by the limit of all routes."""
        return self._limit_of(TENANT, _TENANT_PREFIX + tenant).burst

    def _count_leased(self, bucket: Bucket, used: int) -> None:
        """Report what was used of a lease. What is given back after its report is not undone."""
        if not bucket.asked:
            if used <= 0:
                return
            self._dirty.append(bucket)
        bucket.asked = max(1, bucket.asked + used)

    def use_policy(self, policy: LimitsPolicy, now_ns: int) -> None:
        """Count by other limits from now on; what was spent under the same identity stays spent.

        Where only tenants' own limits differ, their buckets alone are looked at.
        """
        before, self.policy = self.policy, policy
        if before.limits == policy.limits:
            for tenant in before.tenants.keys() | policy.tenants.keys():
                bucket = self._tenants.get(_TENANT_PREFIX + tenant)
                if bucket is not None:
                    self._use_limit(bucket, now_ns)
            return
        for table in self._tables.values():
            table.retain(lambda bucket: self._use_limit(bucket, now_ns))

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
        """Return what was asked since the last report, of at most so many buckets."""
        taken = self._dirty[:most]
        del self._dirty[:most]
        self._reported = {bucket.key: bucket for bucket in taken}
        reports = [SpendReport(bucket.key, bucket.asked, bucket.refused) for bucket in taken]
        for bucket in taken:
            bucket.asked = bucket.refused = 0
        return reports

    def apply(self, shares: Iterable[Share], now_ns: int) -> None:
        """Take what may be spent from now on. What was spent meanwhile is added to it."""
        for key, ahead_ns, share, fair_share in shares:
            bucket = self._reported.get(key) or self._told_of(key, now_ns)
            if bucket is None:
                continue
            bucket.fair_share = fair_share
            bucket.set_share(share)
            meanwhile = bucket.asked - bucket.refused
            bucket.full_at_ns = now_ns + ahead_ns + meanwhile * bucket.interval_ns

    def _told_of(self, key: str, now_ns: int) -> Bucket | None:
        """Return the bucket of a strict limit that another process has spent from."""
        limit = self.policy.limit_of(key)
        if limit is None or not limit.strict:
            return None
        bucket = self._tables[limit.kind].entries.get(key)
        return self._add(key, limit, now_ns) if bucket is None else bucket

    def reported(self, key: str) -> Bucket | None:
        """Return a bucket of the last report."""
        return self._reported.get(key)

    def charge(self, report: SpendReport, now_ns: int, since_ns: int) -> Bucket | None:
        """Charge what another process spent since then; ``None`` for a key of no limit."""
        key, asked, refused = report
        limit = self.policy.limit_of(key)
        if limit is None:
            return None
        table = self._tables[limit.kind]
        bucket = table.entries.get(key)
        if bucket is None:
            bucket = self._add(key, limit, now_ns)
        else:
            bucket.reused = True
        if not bucket.asked:
            self._dirty.append(bucket)
        bucket.asked += asked
        bucket.refused += refused
        bucket.refused_total += refused
        bucket.spend(since_ns, asked - refused)
        return bucket

    def buckets(self) -> list[Bucket]:
        """Return every bucket."""
        return [bucket for table in self._tables.values() for bucket in table]

    def sizes(self) -> dict[LimitKind, tuple[int, int]]:
        """Return by kind how many buckets there are, and how many were evicted."""
        return {kind: (len(table), table.evicted) for kind, table in self._tables.items()}

    def tenants(self) -> Iterable[Bucket]:
        """Return the buckets of tenants on all routes."""
        return (each for each in self._tables["tenant"] if each.key.startswith(_TENANT_PREFIX))

    def _buckets(self, limits: RouteLimits, request: CountedRequest, now_ns: int) -> list[Bucket]:
        """Return the buckets that count a request."""
        buckets = []
        if request.tenant:
            buckets = [self._find(limit, request.tenant, now_ns) for limit in limits.tenant]
        if limits.address:
            buckets += self._of_address(limits, request.source, now_ns)
        if limits.token and request.token:
            buckets += [self._find(limit, request.token, now_ns) for limit in limits.token]
        if limits.total is not None:
            buckets.append(self._find(limits.total, "", now_ns))
        if limits.login is not None:
            buckets += self._of_login(limits.login, request, now_ns)
        return buckets

    def _of_address(self, limits: RouteLimits, source: str, now_ns: int) -> list[Bucket]:
        if not source:
            return []
        key = address_key(source)
        return [self._find(limit, key, now_ns) for limit in limits.address]

    def _of_login(self, login: LoginThrottle, request: CountedRequest, now_ns: int) -> list[Bucket]:
        account = read_account(request.body, request.headers, login)
        pair = throttle_key(self.secret, address_key(request.source), account)
        return [
            self._find(login.pair, pair, now_ns),
            self._find(login.account, throttle_key(self.secret, account), now_ns),
        ]

    def _find(self, limit: Limit, value: str, now_ns: int) -> Bucket:
        key = limit.identity + SEPARATOR + value
        bucket = self._tables[limit.kind].entries.get(key)
        if bucket is not None:
            bucket.reused = True
            return bucket
        return self._add(key, self._limit_of(limit.identity, key, limit), now_ns)

    def _limit_of(self, identity: str, key: str, limit: Limit | None = None) -> Limit:
        """Return the limit of a key: a tenant may have its own."""
        own = self.policy.limit_of(key) if identity == TENANT else None
        return own or limit or self.policy.limits[identity]

    def _add(self, key: str, limit: Limit, now_ns: int) -> Bucket:
        if len(self._dirty) > self._max_keys:
            self._forget_news()
        share = self.new_strict_share if limit.strict else self.new_share
        bucket = self._tables[limit.kind].add(key, limit, now_ns, share)
        bucket.asked = self._untouched
        return bucket

    def _forget_news(self) -> None:
        """Leave the older half unreported: a flood of new keys comes faster than reports go."""
        half = len(self._dirty) // 2
        for bucket in self._dirty[:half]:
            bucket.asked = bucket.refused = 0
        del self._dirty[:half]

    def _touch(self, bucket: Bucket) -> None:
        """Count a request that one bucket was asked for, and note that there is news of it."""
        if not bucket.asked:
            self._dirty.append(bucket)
        bucket.asked += 1

    def _refuse(
        self, bucket: Bucket, limits: RouteLimits, now_ns: int, what: str = REFUSED
    ) -> LimitRefusal:
        key = (what, bucket.limit.kind, limits.route)
        self._counts[key] = self._counts.get(key, 0) + 1
        bucket.refused += 1
        bucket.refused_total += 1
        return LimitRefusal(bucket.limit, bucket.wait_ns(now_ns))
