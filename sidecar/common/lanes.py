"""Threads for blocking calls in lanes, so that calls of one purpose never wait for another's.

A task says in which lane it is (``lane``), and what it calls needs no parameter for it: a client
of Vault that serves renewals and names that strangers ask for has a few threads for each.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from sidecar.common.blocking import BlockingRunner

T = TypeVar("T")
_lane: ContextVar[str] = ContextVar("lane", default="")


@contextmanager
def lane(name: str) -> Iterator[None]:
    """Be in a lane; ``name`` is of a closed set, since each has threads of its own."""
    token = _lane.set(name)
    try:
        yield
    finally:
        _lane.reset(token)


class LanedRunner:
    """A blocking runner for each lane, where a call waits for a thread as long as for an answer.

    A server that hangs therefore costs every caller its patience once, whoever came before.
    """

    def __init__(self, name: str, threads: int) -> None:
        """Use at most ``threads`` threads a lane."""
        self._name = name
        self._threads = threads
        self._lanes: dict[str, tuple[BlockingRunner, asyncio.Semaphore]] = {}
        self._closed = False

    async def run(self, function: Callable[[], T], patience_seconds: float) -> T:
        """Run ``function`` in a thread of this task's lane.

        Raises ``TimeoutError`` if a thread and an answer take longer than ``patience_seconds``,
        ``BlockingRunnerBusy`` if earlier calls hang that nobody waits for any more, or when closed.
        """
        runner, free = self._of(_lane.get())
        async with asyncio.timeout(patience_seconds), free:
            return await runner.run(function, patience_seconds)

    def close(self) -> None:
        """Accept no further calls."""
        self._closed = True
        for runner, _ in self._lanes.values():
            runner.close()

    def _of(self, name: str) -> tuple[BlockingRunner, asyncio.Semaphore]:
        if name not in self._lanes:
            # Twice the threads: a call that was given up keeps its thread until its time-out.
            runner = BlockingRunner(self._name, 2 * self._threads)
            if self._closed:
                runner.close()
            self._lanes[name] = runner, asyncio.Semaphore(self._threads)
        return self._lanes[name]
