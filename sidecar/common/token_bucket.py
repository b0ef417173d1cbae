"""Token buckets in memory: arithmetic on ``now``, no timer, no lock."""

from collections import OrderedDict


class TokenBucket:
    """``per_second`` on average, ``burst`` at once. Full at the beginning; times are seconds.

    A clock that goes back neither adds nor removes tokens.
    """

    __slots__ = ("_at", "_burst", "_per_second", "_tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = now

    def use(self, per_second: float, burst: float, now: float) -> None:
        """Have another rate from now on; as many tokens stay spent as were."""
        if (per_second, burst) == (self._per_second, self._burst):
            return
        self._refill(now)
        self._tokens = max(0.0, burst - (self._burst - self._tokens))
        self._per_second, self._burst = per_second, burst

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take tokens; return false, and take none, if there are too few."""
        self._refill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a token is available; 0 if there is one."""
        self._refill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._per_second

    def is_full(self, now: float) -> bool:
        """Return whether the bucket is full, as if it had never been used."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now


class KeyedBuckets:
    """A bucket for each key, at most ``max_keys``: the least recently used one is evicted.

    A key that returns after its eviction starts with a full bucket. So this gives fairness among
    the current keys; it needs one bucket for all keys as the overall limit.
    """

    def __init__(self, per_second: float, burst: float, max_keys: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def use(self, per_second: float, burst: float) -> None:
        """Have another rate from now on; a bucket takes it over when it is used next."""
        self._per_second, self._burst = per_second, burst

    def take(self, key: str, now: float) -> bool:
        """Take one token of this key's bucket."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._max_keys:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst, now)
        else:
            self._buckets.move_to_end(key)
            bucket.use(self._per_second, self._burst, now)
        return bucket.take(now)
