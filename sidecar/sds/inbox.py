"""What clients have sent and nobody has looked at yet, in bounds of bytes.

A request may be as large as a message (an Envoy that comes back names all that it holds), so
a number of requests bounds nothing. A stream is not read from while it has much waiting; what
is large draws on a store that all streams share.
"""

import asyncio
from collections import deque

MAX_UNREAD_REQUESTS = 64
MAX_UNREAD_BYTES = 262_144
"""A stream is read from only below both."""
OWN_BYTES = 16_384
"""Every stream may keep so much waiting, whatever the others do."""
MAX_SHARED_BYTES = 67_108_864
MAX_SHARED_NAMES = 400_000


class Shared:
    """What all streams together hold: bytes of requests beyond each one's own, and names."""

    def __init__(
        self, max_bytes: int = MAX_SHARED_BYTES, max_names: int = MAX_SHARED_NAMES
    ) -> None:
        self._max_bytes = max_bytes
        self._max_names = max_names
        self.bytes = 0
        self.names = 0

    def take_bytes(self, count: int) -> bool:
        """Take bytes, or give them back; False, and none taken, where there are no more so many."""
        if count > 0 and self.bytes + count > self._max_bytes:
            return False
        self.bytes += count
        return True

    def take_names(self, count: int) -> bool:
        """Take names, or give them back with a negative ``count``; False where there are no more.

        They are taken all the same: whoever asked for them holds them until it gives them back.
        """
        self.names += count
        return count <= 0 or self.names <= self._max_names


class Inbox:
    """The requests of one stream, in order."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._requests: deque[bytes] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def __bool__(self) -> bool:
        return bool(self._requests)

    def put(self, raw: bytes) -> bool:
        """Keep a request; False, and not kept, if all streams together hold too much."""
        if not self._shared.take_bytes(_beyond(self._bytes + len(raw)) - _beyond(self._bytes)):
            return False
        self._requests.append(raw)
        self._bytes += len(raw)
        if len(self._requests) >= MAX_UNREAD_REQUESTS or self._bytes >= MAX_UNREAD_BYTES:
            self._room.clear()
        return True

    def pop(self) -> bytes:
        """Return the next request, which is then nobody's here any more."""
        raw = self._requests.popleft()
        before, self._bytes = self._bytes, self._bytes - len(raw)
        self._shared.take_bytes(_beyond(self._bytes) - _beyond(before))
        if not self._requests:
            self._room.set()
        return raw

    def clear(self) -> None:
        """Throw away what is left."""
        while self._requests:
            self.pop()

    async def room(self) -> None:
        """Return when more may be read."""
        await self._room.wait()


def _beyond(count: int) -> int:
    return max(0, count - OWN_BYTES)
