"""A bounded table of buckets. A flood of new keys evicts no key that is in use.

Clients can invent addresses, so the table must choose well what it forgets. A new key is on
probation: it stands in a queue, and is the first to go, until it is asked for a second time. Keys
that were are kept in a second queue; of the few at its head the one goes that has spent the
least, which is a full one if there is any, and that can be dropped without being missed.
A look-up moves nothing: whether a key is in use shows in its bucket.
"""

from collections import deque

from sidecar.limits.bucket import Bucket, Limit

MAX_KEYS = 100_000
_CANDIDATES = 8
"""How many keys in use are compared before one of them is evicted."""


class BucketTable:
    """Buckets by key, at most ``max_keys``. One thread, no lock.

    ``entries`` are the buckets by their limit's identity and by whom they count; several tables
    may share them. They may be read by whoever needs the fastest look-up; a bucket found there
    must be marked ``reused``.
    """

    __slots__ = ("_entries", "_forgotten", "_kept", "_max_keys", "_probation", "evicted")

    def __init__(self, max_keys: int, entries: dict[str, dict[str, Bucket]]) -> None:
        self._max_keys = max_keys
        self._entries = entries
        self.evicted = 0
        self._forgotten = 0
        """Buckets that are in a queue still, and nowhere else."""
        self._probation: deque[Bucket] = deque()
        self._kept: deque[Bucket] = deque()

    def __len__(self) -> int:
        """Count the buckets."""
        return self._queued - self._forgotten

    @property
    def _queued(self) -> int:
        return len(self._probation) + len(self._kept)

    def use_bound(self, max_keys: int) -> None:
        """Hold at most so many from now on; ``shrink`` evicts what is too much."""
        self._max_keys = max_keys

    def shrink(self, most: int, now_ns: int) -> bool:
        """Evict what is beyond the bound, at most so many; return whether there is more."""
        for _ in range(min(most, self._queued - self._max_keys)):
            self._evict(now_ns)
        return self._queued > self._max_keys

    def forget(self, bucket: Bucket) -> None:
        """Forget a bucket whose limit is no more: it leaves its queue as the first that goes."""
        if self._remove(bucket):
            bucket.reused, bucket.full_at_ns = False, 0
            self._forgotten += 1

    def add(self, value: str, limit: Limit, now_ns: int, share: float = 1.0) -> Bucket:
        """Add a bucket for whom a limit has none yet."""
        if self._queued >= self._max_keys:
            self._evict(now_ns)
        bucket = Bucket(value, limit, share)
        self._entries.setdefault(limit.identity, {})[value] = bucket
        self._probation.append(bucket)
        return bucket

    def clear(self) -> None:
        """Forget every bucket."""
        for queue in (self._probation, self._kept):
            for bucket in queue:
                self._remove(bucket)
            queue.clear()
        self._forgotten = 0

    def _remove(self, bucket: Bucket) -> bool:
        """Let nobody find a bucket any more; false where nobody does already."""
        held = self._entries[bucket.limit.identity]
        if held.get(bucket.value) is not bucket:
            return False
        del held[bucket.value]
        return True

    def _evict(self, now_ns: int) -> None:
        going = self._next_on_probation() or self._least_spent(now_ns)
        if self._remove(going):
            self.evicted += 1
        else:
            self._forgotten -= 1

    def _next_on_probation(self) -> Bucket | None:
        """Return the oldest key that was asked for once; those asked for again are kept."""
        while self._probation:
            bucket = self._probation.popleft()
            if not bucket.reused:
                return bucket
            self._kept.append(bucket)
        return None

    def _least_spent(self, now_ns: int) -> Bucket:
        """Return, of the first few, the one that is full or has spent the least."""
        first = min(_CANDIDATES, len(self._kept))
        candidates = [self._kept.popleft() for _ in range(first)]
        least = min(candidates, key=lambda each: (each.full_at_ns - now_ns) / each.interval_ns)
        self._kept.extend(each for each in candidates if each is not least)
        return least
