"""ACME challenges in a worker: the main process knows them, a worker asks it for some at a time.

One question is open at once, about all the tokens that came since the one before. So however
many made-up tokens strangers send, the main process is asked a few times a second.
What was not found is not remembered: the main process does that, for all of its workers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from sidecar.common.pacing import settle_paced
from sidecar.runtime.workers.frames import MAX_TOKENS, KnownChallenge

MAX_WAITING = 4096
WAIT_SECONDS = 5.0
"""Longer than this nobody waits. The next question is asked when the last one is answered."""
_Waiter = asyncio.Future[KnownChallenge | None]


class _Question(NamedTuple):
    """What was asked last."""

    number: int
    waiting: tuple[tuple[str, _Waiter], ...]
    timer: asyncio.TimerHandle


class AskedChallenges:
    """Where the Check of a worker finds challenges.

    ``ask`` sends a question, a number and its tokens, to the main process.
    """

    def __init__(self, ask: Callable[[int, tuple[str, ...]], None]) -> None:
        self._ask = ask
        self._waiting: deque[tuple[str, _Waiter]] = deque()
        self._question: _Question | None = None
        self._number = 0
        self._overdue = False

    def find(self, token: str) -> Awaitable[KnownChallenge | None] | None:
        """Return what tells when the main process has answered; ``None`` if too many wait."""
        if not token or not self._has_room():
            return None
        return self._find(token)

    def _has_room(self) -> bool:
        return not self._overdue and len(self._waiting) < MAX_WAITING

    async def _find(self, token: str) -> KnownChallenge | None:
        if not self._has_room():  # many were told to look in one turn of the loop
            return None
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((token, waiter))
        self._ask_next()
        return await waiter

    def told(self, number: int, known: Iterable[KnownChallenge]) -> None:
        """Take the main process's answer. One that comes too late is passed over."""
        question = self._question
        if question is None or question.number != number:
            return
        question.timer.cancel()
        self._question, self._overdue = None, False
        _wake(question.waiting, {each.token: each for each in known})
        self._ask_next()

    def _ask_next(self) -> None:
        """Ask about those that wait, if no question is open."""
        if self._question is not None or not self._waiting:
            return
        count = min(len(self._waiting), MAX_TOKENS)
        waiting = tuple(self._waiting.popleft() for _ in range(count))
        self._number += 1
        timer = asyncio.get_running_loop().call_later(WAIT_SECONDS, self._give_up)
        self._question = _Question(self._number, waiting, timer)
        self._ask(self._number, tuple(dict.fromkeys(token for token, _ in waiting)))

    def _give_up(self) -> None:
        """Let nobody wait until the main process has answered."""
        self._overdue = True
        waiting = (*(self._question.waiting if self._question is not None else ()), *self._waiting)
        self._waiting.clear()
        _wake(waiting, {})


def _wake(waiting: Iterable[tuple[str, _Waiter]], known: Mapping[str, KnownChallenge]) -> None:
    settle_paced(deque((waiter, known.get(token)) for token, waiter in waiting))
