"""One token bucket: the generic cell rate algorithm (GCRA, ITU-T I.371), in nanoseconds.

A bucket is one number, the theoretical arrival time: the instant at which the bucket will be
full again. A request passes if that instant is not further ahead than the burst takes to refill,
and moves it ahead by one interval. So a bucket needs no timer, and one that is full says so by
its time alone: it can be dropped without being missed.

Several processes may hold one bucket together. Each then spends at its *share* of the rate: its
interval is longer by the inverse. The times stay comparable, because a share of the rate refills
a share of the burst in the time in which all of the rate refills all of it.
"""

from typing import Literal

import msgspec

SECOND_NS = 1_000_000_000
MIN_SHARE = 1e-3
"""The smallest share of a rate that a process is given."""

SEPARATOR = "|"
"""Between the identity of a limit and whom it counts, in a bucket's key."""
SMOOTHING = 0.3
"""The weight of the newest period in a member's demand."""
STALE_PERIODS = 5

LimitKind = Literal["tenant", "route", "address", "token", "login", "account"]
KINDS: tuple[LimitKind, ...] = ("tenant", "route", "address", "token", "login", "account")
"""What a limit counts by; the label ``limit`` of metrics, and the policy's name for clients."""


class Limit(msgspec.Struct, frozen=True, gc=False):
    """``requests`` in ``per_seconds`` on average, and ``burst`` of them at once.

    ``identity`` is the limit's own: buckets outlive a change of the settings where it stays the
    same. With ``shadow`` a request over the limit is counted and passes. ``strict`` limits are
    small ones that guard a secret: they are divided among processes before they are contended.
    """

    identity: str
    kind: LimitKind
    requests: int
    per_seconds: int
    burst: int
    shadow: bool = False
    strict: bool = False

    @property
    def interval_ns(self) -> int:
        """How long one request's place takes to come free."""
        return max(1, round(self.per_seconds * SECOND_NS / self.requests))

    @property
    def tolerance_ns(self) -> int:
        """How far ahead the arrival time may be for the next request to pass."""
        return (self.burst - 1) * self.interval_ns

    def __str__(self) -> str:
        """Return the limit as operators read it."""
        period = "second" if self.per_seconds == 1 else f"{self.per_seconds} seconds"
        requests = "1 request" if self.requests == 1 else f"{self.requests} requests"
        return f"{self.identity}: {requests} per {period}, burst {self.burst}"


class BucketDemand:
    """How many requests each member of a group asks for in a period, smoothed."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[int, tuple[float, int]] = {}

    def report(self, member: int, asked: int, now_ns: int, period_ns: int) -> tuple[float, float]:
        """Take a member's report; return its demand and that of all, in requests a period.

        A member that has not asked for ``STALE_PERIODS`` counts no more.
        """
        oldest = now_ns - STALE_PERIODS * period_ns
        before, at = self._members.get(member, (0.0, oldest - 1))
        own = float(asked) if at < oldest else before + SMOOTHING * (asked - before)
        self._members[member] = (own, now_ns)
        stale = [each for each, (_, seen) in self._members.items() if seen < oldest]
        for each in stale:
            del self._members[each]
        return own, sum(value for value, _ in self._members.values())


def divide(
    limit: Limit, ahead_ns: int, own: float, total: float, members: int
) -> tuple[float, float]:
    """Return a member's share of a rate now, and its fair one for when nobody can be asked.

    While there is room for what all ask in two periods, each may spend all of the rate: what it
    spends is charged to the others when it reports. From then on each spends in proportion to
    what it asks, so that together they spend the rate, and none waits for another.
    """
    room = (limit.tolerance_ns - ahead_ns) / limit.interval_ns + 1
    proportion = own / total if total > 0 else 1 / members
    if room < 2 * total + members:
        return proportion, proportion
    return (1 / members if limit.strict else 1.0), 1 / members


def most_ahead_ns(limit: Limit, members: int) -> int:
    """Return how far a bucket can be ahead: what was spent too much before it was told.

    More is forged; so a process that was taken over can use up a rate, and no future of it.
    """
    return limit.tolerance_ns + max(SECOND_NS, members * limit.interval_ns)


class Bucket:
    """One bucket in one process; times are monotonic nanoseconds.

    ``asked`` and ``refused`` are counts since they were last reported; ``refused_total`` since
    the bucket exists. ``fair_share`` is what this process takes while nobody can be asked.
    """

    __slots__ = (
        "asked",
        "demand",
        "fair_share",
        "full_at_ns",
        "interval_ns",
        "key",
        "limit",
        "refused",
        "refused_total",
        "reused",
        "share",
        "tolerance_ns",
        "value",
    )

    def __init__(self, value: str, limit: Limit, share: float = 1.0) -> None:
        self.value = value
        """Whom it counts."""
        self.key = f"{limit.identity}{SEPARATOR}{value}"
        self.full_at_ns = 0
        self.asked = 0
        self.refused = 0
        self.refused_total = 0
        self.demand: BucketDemand | None = None
        """Who asks for this bucket, where this process divides it among others."""
        self.reused = False
        """Whether it was asked for again after it was made; the table's business."""
        self.share = self.fair_share = share
        self.limit = limit
        self.tolerance_ns = limit.tolerance_ns
        self.set_share(share)

    def set_limit(self, limit: Limit, now_ns: int) -> None:
        """Count by another rate from now on; as many requests stay spent as were."""
        spent = max(0, self.full_at_ns - now_ns) / self.limit.interval_ns
        self.limit = limit
        self.tolerance_ns = limit.tolerance_ns
        self.full_at_ns = now_ns + round(spent * limit.interval_ns)
        self.set_share(self.share)

    def set_share(self, share: float) -> None:
        """Spend at this share of the rate, above 0 and at most 1."""
        self.share = min(1.0, max(MIN_SHARE, share))
        self.interval_ns = round(self.limit.interval_ns / self.share)

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until a request would pass; 0 or less if it would now."""
        return self.full_at_ns - now_ns - self.tolerance_ns

    def spend(self, now_ns: int, count: int = 1) -> None:
        """Charge requests, whether there is room for them or not."""
        full_at = self.full_at_ns
        self.full_at_ns = (max(now_ns, full_at)) + count * self.interval_ns

    def is_full(self, now_ns: int) -> bool:
        """Return whether nothing is spent: the bucket is as good as a new one."""
        return self.full_at_ns <= now_ns

    def room(self, now_ns: int) -> int:
        """Return how many requests this process could let pass at once."""
        ahead = max(0, self.full_at_ns - now_ns)
        if ahead > self.tolerance_ns:
            return 0
        return (self.tolerance_ns - ahead) // self.interval_ns + 1

    def remaining(self, now_ns: int) -> int:
        """Return how many requests all processes together could let pass at once."""
        ahead = max(0, self.full_at_ns - now_ns)
        if ahead > self.tolerance_ns:
            return 0
        return (self.tolerance_ns - ahead) // self.limit.interval_ns + 1
