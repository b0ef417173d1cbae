"""How long a client has held each name, and which it has held for long enough. Pure.

Envoy keeps what it obtained on demand for ever, and does not tell what of it is used. So a
name may stay for a while, and is then taken back: one that is in use is asked for again by
its next handshake, which costs a millisecond, and one that is not is gone.
"""

import heapq
from collections.abc import Callable

from sidecar.common.backoff import with_jitter


class TtlTracker:
    """The names one client holds, each with the end of its stay. Times are seconds.

    At most ``max_names`` stay: one more ends the stay that would end first.
    """

    def __init__(self, ttl_seconds: float, max_names: int, jitter: Callable[[], float]) -> None:
        self._ttl_seconds = ttl_seconds
        self._max_names = max_names
        self._jitter = jitter
        self._ends: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        """By end; what stands here and not in ``_ends`` has left before."""

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, name: str, now: float) -> None:
        """Note that a name was sent. One that is there already stays no longer for it."""
        if name not in self._ends:
            self._set_end(name, now + with_jitter(self._ttl_seconds, self._jitter()))

    def resume(self, name: str, now: float, within_seconds: float) -> None:
        """Note a name that was held before we knew of it: its end is anywhere within a time."""
        if name not in self._ends:
            self._set_end(name, now + min(self._ttl_seconds, within_seconds) * self._jitter())

    def extend(self, name: str, end: float) -> None:
        """Let a name whose stay is over stay until another end."""
        self._set_end(name, end)

    def discard(self, name: str) -> None:
        """Note that a name is held no more."""
        self._ends.pop(name, None)
        if len(self._order) > 2 * len(self._ends) + 64:
            self._order = [(end, name) for name, end in self._ends.items()]
            heapq.heapify(self._order)

    def overdue(self, now: float, limit: int) -> list[str]:
        """Take out and return at most ``limit`` names whose stay is over, or that are too many."""
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
