"""Requests that were received and not yet handled, bounded in bytes.

A request may be as large as a message (an Envoy that reconnects names everything it holds), so
bounding the number of requests is not enough. A stream is not read from while much of it is
waiting; large requests take from a budget that all streams share.
"""

import asyncio
from collections import deque

MAX_UNREAD_REQUESTS = 64
MAX_UNREAD_BYTES = 262_144
"""A stream is read from only while it is below both."""
OWN_BYTES = 16_384
"""Every stream may keep this much waiting, whatever the others do."""
MAX_SHARED_BYTES = 67_108_864
MAX_SHARED_NAMES = 400_000


class Shared:
    """The shared budget of all streams: bytes beyond each stream's own share, and names."""

    def __init__(
        self, max_bytes: int = MAX_SHARED_BYTES, max_names: int = MAX_SHARED_NAMES
    ) -> None:
        self._max_bytes = max_bytes
        self._max_names = max_names
        self.bytes = 0
        self.names = 0

    def take_bytes(self, count: int) -> bool:
        """Take bytes, or return them if negative; return False if too few are left."""
        if count > 0 and self.bytes + count > self._max_bytes:
            return False
        self.bytes += count
        return True

    def take_names(self, count: int) -> bool:
        """Take names, or return them with a negative ``count``; return False if too few are left.

        They are taken all the same: the caller holds them until it returns them.
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
        """Add a request; return False, without adding it, if all streams together hold too much."""
        if not self._shared.take_bytes(_beyond(self._bytes + len(raw)) - _beyond(self._bytes)):
            return False
        self._requests.append(raw)
        self._bytes += len(raw)
        if len(self._requests) >= MAX_UNREAD_REQUESTS or self._bytes >= MAX_UNREAD_BYTES:
            self._room.clear()
        return True

    def pop(self) -> bytes:
        """Remove and return the next request."""
        raw = self._requests.popleft()
        before, self._bytes = self._bytes, self._bytes - len(raw)
        self._shared.take_bytes(_beyond(self._bytes) - _beyond(before))
        if not self._requests:
            self._room.set()
        return raw

    def clear(self) -> None:
        """Drop the remaining requests."""
        while self._requests:
            self.pop()

    async def room(self) -> None:
        """Wait until more may be read."""
        await self._room.wait()


def _beyond(count: int) -> int:
    return max(0, count - OWN_BYTES)
