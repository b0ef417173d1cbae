"""What a Check asks: may this request pass, by every limit that counts it.

A request is counted by several limits at once. All of them are asked before any is charged: if
one denies, the tightest (the one that makes it wait longest) decides, and nothing is spent from
the others, so a client that is denied by one limit keeps its place in the rest. Only where every
limit has room is each of them charged one request.

Everything is in memory, and nothing waits. What other processes spend of the same limits comes
in the background (``buckets``).
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.limits.account import LoginAttempt, read_account, throttle_key
from sidecar.limits.address import address_key
from sidecar.limits.bucket import Bucket, Limit
from sidecar.limits.buckets import Buckets
from sidecar.limits.fields import Field, passing_fields, refusal_fields, whole_seconds
from sidecar.limits.policy import (
    ROUTE_VALUE,
    TENANT,
    LimitsPolicy,
    LoginThrottle,
    RouteLimits,
)
from sidecar.limits.table import MAX_KEYS

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
        """Return the response fields of the denial."""
        return refusal_fields(self.limit, whole_seconds(self.wait_ns))


class CountedRequest(NamedTuple):
    """What a request is counted by. ``tenant`` and ``token`` are of a verified token, or empty."""

    tenant: str = ""
    token: str = ""
    source: str = ""
    """The client's address, as Envoy determined it."""
    body: bytes = b""
    headers: Mapping[str, bytes] = {}
    query: bytes = b""


class RateLimiter(Buckets):
    """Decides by the buckets of one process; ``counts`` counts the requests over a limit."""

    __slots__ = ("_counts", "tightest")

    def __init__(
        self,
        policy: LimitsPolicy,
        secret: bytes,
        *,
        max_keys: int = MAX_KEYS,
        shared: bool = False,
        counts: "dict[LimitedKey, int] | None" = None,
    ) -> None:
        super().__init__(policy, secret, max_keys=max_keys, shared=shared)
        self._counts = {} if counts is None else counts
        self.tightest: Bucket | None = None
        """The bucket with the least room, of the last request that passed."""

    def take_tenant(self, limits: RouteLimits, tenant: str, now_ns: int) -> LimitRefusal | None:
        """Count a request by its tenant alone; return why it is denied, or ``None``.

        The same as ``take`` where ``RouteLimits.only_tenant`` says that nothing else counts it.
        """
        bucket = self._tenants.get(tenant)
        if bucket is None:
            bucket = self._add(self.policy.limits[TENANT], tenant, now_ns)
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
        """Count a request by every limit of its route; return why it is denied, or ``None``."""
        tenant, token, source, *_ = request
        login = limits.login
        if login is None:
            return self.take_known(limits, tenant, token, source, now_ns)
        buckets = self._find_all(limits, (tenant, address_key(source), token), now_ns)
        buckets += self._of_login(login, request, now_ns)
        return self._charge_all(limits, buckets, now_ns)

    def take_known(
        self, limits: RouteLimits, tenant: str, token: str, source: str, now_ns: int
    ) -> LimitRefusal | None:
        """Count a request by its tenant, token and address, and by its route; see ``take``."""
        if not source or ":" in source:
            source = address_key(source)
        buckets = self._find_all(limits, (tenant, source, token), now_ns)
        return self._charge_all(limits, buckets, now_ns)

    def take_address(self, limits: RouteLimits, source: str, now_ns: int) -> LimitRefusal | None:
        """Count a request by its address alone: one that is answered without the application."""
        key = address_key(source)
        buckets = [self._find(limit, key, now_ns) for limit in limits.address]
        return self._charge_all(limits, buckets, now_ns)

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
        key = address_key(source)
        for limit in limits.address:
            bucket = self._entries[limit.identity].get(key)
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
        bucket = self._tenants.get(tenant)
        if bucket is None:
            bucket = self._add(self.policy.limits[TENANT], tenant, now_ns)
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
        return self.policy.tenants.get(tenant, self.policy.limits[TENANT]).burst

    def _count_leased(self, bucket: Bucket, used: int) -> None:
        """Report what was used of a lease. What is given back after its report is not undone."""
        if not bucket.asked:
            if used <= 0:
                return
            self._dirty.append(bucket)
        bucket.asked = max(1, bucket.asked + used)

    def _find_all(
        self, limits: RouteLimits, values: tuple[str, str, str], now_ns: int
    ) -> list[Bucket]:
        """Return the buckets that count a request by its tenant, address and token."""
        entries, buckets = self._entries, []
        known = (*values, ROUTE_VALUE)
        for identity, which, limit in limits.counted:
            value = known[which]
            if not value:
                continue  # a request without a token is counted by none
            bucket = entries[identity].get(value)
            if bucket is None:
                bucket = self._add(limit, value, now_ns)
            else:
                bucket.reused = True
            buckets.append(bucket)
        return buckets

    def _charge_all(
        self, limits: RouteLimits, buckets: list[Bucket], now_ns: int
    ) -> LimitRefusal | None:
        """Charge every bucket, or none. The statements of ``Bucket`` are repeated for speed."""
        for bucket in buckets:
            if bucket.full_at_ns - now_ns > bucket.tolerance_ns:
                refusal = self._charge_over(limits, buckets, now_ns)
                if refusal is not None:
                    return refusal
                break
        else:
            for bucket in buckets:
                if not bucket.asked:
                    self._dirty.append(bucket)
                bucket.asked += 1
                full_at = bucket.full_at_ns
                if full_at <= now_ns:
                    bucket.full_at_ns = now_ns + bucket.interval_ns
                else:
                    bucket.full_at_ns = full_at + bucket.interval_ns
        if limits.reports:
            self.tightest = min(buckets, key=lambda each: each.remaining(now_ns), default=None)
        return None

    def _charge_over(
        self, limits: RouteLimits, buckets: list[Bucket], now_ns: int
    ) -> LimitRefusal | None:
        """Charge for a request over a limit; it passes where only shadow limits are exceeded."""
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

    def _of_login(self, login: LoginThrottle, request: CountedRequest, now_ns: int) -> list[Bucket]:
        account = read_account(LoginAttempt(request.body, request.headers, request.query), login)
        pair = throttle_key(self.secret, address_key(request.source), account)
        return [
            self._find(login.pair, pair, now_ns),
            self._find(login.account, throttle_key(self.secret, account), now_ns),
        ]

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
