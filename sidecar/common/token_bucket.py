"""Token buckets in memory: arithmetic on ``now``, no timer, no lock."""

from collections import OrderedDict


class TokenBucket:
    """``per_second`` on the long run, ``burst`` at once. Full at the beginning; times are seconds.

    A clock that goes back gives no token and costs none.
    """

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take tokens, if there are so many."""
        self._refill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def wait_seconds(self, now: float) -> float:
        """Return how long until a token may be taken; 0 if now."""
        self._refill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_second

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is as if it had never been used."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now


class KeyedBuckets:
    """A bucket for each key, of at most ``max_keys``: the one not used for longest goes.

    A key that comes back after that finds a full bucket. So this is fairness among those
    who are there, and needs one bucket for all before it as the bound.
    """

    def __init__(self, per_second: float, burst: float, max_keys: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> bool:
        """Take one token of this key's bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_keys:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst, now)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)
