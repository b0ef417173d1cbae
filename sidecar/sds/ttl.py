"""The TTL of each name that a client obtained on demand. Pure.

Envoy keeps such names for ever, and does not report which are used. So each has a TTL, after
which it is evicted: a name in use is asked for again by its next handshake, which costs a
millisecond, and an unused name is gone.
"""

import heapq
from collections.abc import Callable

from workload.backoff import with_jitter


class TtlTracker:
    """The names one client holds, each with the end of its TTL. Times are seconds.

    At most ``max_names`` are held: one more evicts the name that would end first.
    """

    def __init__(self, ttl_seconds: float, max_names: int, jitter: Callable[[], float]) -> None:
        self._ttl_seconds = ttl_seconds
        self._max_names = max_names
        self._jitter = jitter
        self._ends: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        """By end; an entry that differs from ``_ends`` is stale."""

    def __len__(self) -> int:
        return len(self._ends)

    def use(self, ttl_seconds: float, max_names: int) -> None:
        """Have another TTL for names that are added from now on, and another bound for all."""
        self._ttl_seconds, self._max_names = ttl_seconds, max_names

    def add(self, name: str, now: float) -> None:
        """Add a name that was sent. The TTL of a name that is there already is not extended."""
        if name not in self._ends:
            self._set_end(name, now + with_jitter(self._ttl_seconds, self._jitter()))

    def resume(self, name: str, now: float, within_seconds: float) -> None:
        """Add a name that the client held before; its TTL ends at random within the given time."""
        if name not in self._ends:
            self._set_end(name, now + min(self._ttl_seconds, within_seconds) * self._jitter())

    def extend(self, name: str, end: float) -> None:
        """Add a name again whose TTL is over, with another end."""
        self._set_end(name, end)

    def discard(self, name: str) -> None:
        """Remove a name that the client no longer holds."""
        self._ends.pop(name, None)
        if len(self._order) > 2 * len(self._ends) + 64:
            self._order = [(end, name) for name, end in self._ends.items()]
            heapq.heapify(self._order)

    def overdue(self, now: float, limit: int) -> list[str]:
        """Remove and return up to ``limit`` names whose TTL is over, or that are too many."""
        found: list[str] = []
        while self._order and len(found) < limit:
            end, name = self._order[0]
            if self._ends.get(name) == end:
                if end > now and len(self._ends) <= self._max_names:
                    break
                del self._ends[name]
                found.append(name)
            heapq.heappop(self._order)
        return found

    def _set_end(self, name: str, end: float) -> None:
        self._ends[name] = end
        heapq.heappush(self._order, (end, name))
