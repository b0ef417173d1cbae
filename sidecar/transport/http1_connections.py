"""Open connections in bounds: whoever has kept us waiting longest makes room for the next.

A health probe is answered while somebody holds every connection open: a connection on which
nothing is being worked on can always be closed, and the newest is never the one. What a
handler takes its time for is not cut short; there is room for half as many of those.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager


class ConnectionTable:
    """At most ``limit`` connections, each with what closes it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._max_working = max(1, limit // 2)
        self._waiting: OrderedDict[Hashable, Callable[[], object]] = OrderedDict()
        """Those that wait for their peer, who has done so longest first."""
        self._working: dict[Hashable, Callable[[], object]] = {}
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def admit(self, connection: Hashable, close: Callable[[], object]) -> bool:
        """Take a connection; another may be closed for it. False if all are worked on."""
        if len(self) >= self._limit:
            if not self._waiting:
                return False
            _, close_other = self._waiting.popitem(last=False)
            self.evicted += 1
            close_other()
        self._waiting[connection] = close
        return True

    def answered(self, connection: Hashable) -> None:
        """Take note that a connection has had an answer: its wait begins anew."""
        if connection in self._waiting:
            self._waiting.move_to_end(connection)

    @contextmanager
    def work(self, connection: Hashable) -> Iterator[bool]:
        """Keep a connection from being closed meanwhile; False if too many are kept already."""
        if len(self._working) >= self._max_working or connection not in self._waiting:
            yield False
            return
        self._working[connection] = close = self._waiting.pop(connection)
        try:
            yield True
        finally:
            if self._working.pop(connection, None) is not None:
                self._waiting[connection] = close

    def forget(self, connection: Hashable) -> None:
        """Take note that a connection has closed."""
        self._waiting.pop(connection, None)
        self._working.pop(connection, None)
