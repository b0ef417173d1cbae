"""A bounded table of connections: at the limit the one that has been idle longest is closed.

Health probes are answered even while clients hold every connection open: a connection without a
request in progress can always be closed, except the newest one. A request in progress is not
interrupted; at most half of the connections may have one that takes long.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager


class ConnectionTable:
    """At most ``limit`` connections, each with the function that closes it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._max_working = max(1, limit // 2)
        self._waiting: OrderedDict[Hashable, Callable[[], object]] = OrderedDict()
        """Idle connections, the one that has been idle longest first."""
        self._working: dict[Hashable, Callable[[], object]] = {}
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._working)

    def admit(self, connection: Hashable, close: Callable[[], object]) -> bool:
        """Add a connection; another may be closed for it. False if all have open requests."""
        if len(self) >= self._limit:
            if not self._waiting:
                return False
            _, close_other = self._waiting.popitem(last=False)
            self.evicted += 1
            close_other()
        self._waiting[connection] = close
        return True

    def answered(self, connection: Hashable) -> None:
        """Record that a connection was answered: it is idle from now on."""
        if connection in self._waiting:
            self._waiting.move_to_end(connection)

    @contextmanager
    def work(self, connection: Hashable) -> Iterator[bool]:
        """Protect a connection from being closed; yield false if too many are protected already."""
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
        """Remove a connection that has closed."""
        self._waiting.pop(connection, None)
        self._working.pop(connection, None)
