"""ACME challenges in a worker: the main process knows them, a worker asks it for one.

What was not found is not remembered: the main process does that, for all of its workers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

MAX_WAITING = 1024
WAIT_SECONDS = 5.0


class Known(NamedTuple):
    """A challenge in flight, as far as a Check needs it."""

    host: str
    answer: str


class AskedChallenges:
    """Where the Check of a worker finds challenges; ``ask`` sends a token to the main process."""

    def __init__(self, ask: Callable[[str], None]) -> None:
        self._ask = ask
        self._waiting: dict[str, asyncio.Future[Known | None]] = {}

    def find(self, token: str) -> Awaitable[Known | None] | None:
        """Return what tells when the main process has answered; ``None`` if too many wait."""
        if not token or (len(self._waiting) >= MAX_WAITING and token not in self._waiting):
            return None
        return self._find(token)

    async def _find(self, token: str) -> Known | None:
        waiter = self._waiting.get(token)
        if waiter is None:
            waiter = self._waiting[token] = asyncio.get_running_loop().create_future()
            self._ask(token)
        await asyncio.wait([waiter], timeout=WAIT_SECONDS)
        if waiter.done():
            return waiter.result()
        if self._waiting.get(token) is waiter:
            del self._waiting[token]
        return None

    def told(self, token: str, host: str, answer: str) -> None:
        """Take the main process's answer; without a host there is no such challenge."""
        waiter = self._waiting.pop(token, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(Known(host, answer) if host else None)
