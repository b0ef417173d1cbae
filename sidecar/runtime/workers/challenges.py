"""ACME challenges in a worker: it requests them from the main process, which knows them.

One request is in flight at a time, for all the tokens that arrived since the previous one. So
the main process gets a few requests a second, however many made-up tokens strangers send.
A worker does not cache tokens that were not found: the main process does, for all workers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from sidecar.common.pacing import settle_paced
from sidecar.runtime.workers.frames import MAX_TOKENS, KnownChallenge

MAX_WAITING = 4096
WAIT_SECONDS = 5.0
"""No Check waits longer. The next request is sent when the main process has replied."""
_Waiter = asyncio.Future[KnownChallenge | None]


class _OpenRequest(NamedTuple):
    """The request in flight."""

    number: int
    waiting: tuple[tuple[str, _Waiter], ...]
    timer: asyncio.TimerHandle


class RequestedChallenges:
    """The challenge source of a worker's Check service.

    ``send_request`` sends a request, a number and its tokens, to the main process.
    """

    def __init__(self, send_request: Callable[[int, tuple[str, ...]], None]) -> None:
        self._send_request = send_request
        self._waiting: deque[tuple[str, _Waiter]] = deque()
        self._open: _OpenRequest | None = None
        self._number = 0
        self._overdue = False

    def find(self, token: str) -> Awaitable[KnownChallenge | None] | None:
        """Return an awaitable of the main process's reply; ``None`` if too many Checks wait."""
        if not token or not self._accepts():
            return None
        return self._find(token)

    def _accepts(self) -> bool:
        return not self._overdue and len(self._waiting) < MAX_WAITING

    async def _find(self, token: str) -> KnownChallenge | None:
        if not self._accepts():  # many Checks called find in the same loop iteration
            return None
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((token, waiter))
        self._request_next()
        return await waiter

    def take_reply(self, number: int, known: Iterable[KnownChallenge]) -> None:
        """Take the main process's reply. A late one is ignored."""
        request = self._open
        if request is None or request.number != number:
            return
        request.timer.cancel()
        self._open, self._overdue = None, False
        _wake(request.waiting, {each.token: each for each in known})
        self._request_next()

    def _request_next(self) -> None:
        """Send a request for the waiting tokens, if none is in flight."""
        if self._open is not None or not self._waiting:
            return
        count = min(len(self._waiting), MAX_TOKENS)
        waiting = tuple(self._waiting.popleft() for _ in range(count))
        self._number += 1
        timer = asyncio.get_running_loop().call_later(WAIT_SECONDS, self._on_timeout)
        self._open = _OpenRequest(self._number, waiting, timer)
        self._send_request(self._number, tuple(dict.fromkeys(token for token, _ in waiting)))

    def _on_timeout(self) -> None:
        """Release all waiting Checks, and accept none until the main process has replied."""
        self._overdue = True
        waiting = (*(self._open.waiting if self._open is not None else ()), *self._waiting)
        self._waiting.clear()
        _wake(waiting, {})


def _wake(waiting: Iterable[tuple[str, _Waiter]], known: Mapping[str, KnownChallenge]) -> None:
    settle_paced(deque((waiter, known.get(token)) for token, waiter in waiting))
