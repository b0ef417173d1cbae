"""Where passwords are hashed: a bounded number at once, a bounded number that wait.

A hash takes 64 MiB and keeps processors busy, and anybody may ask for one. So at most ``slots``
run, at most ``max_waiting`` wait, none waits longer than ``wait_seconds``, and everybody else is
told to try later. Threads run them, which end when there is nothing to do: a pool that is made
before a fork works after it.

**A caller that goes away** (a cancelled task, a client that hung up) takes its job out of the
queue if it has not begun. A hash that has begun can't be stopped, so it keeps its slot to its
end: an attacker who hangs up frees no slot while the memory is in use.
"""

import asyncio
import concurrent.futures
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from workload.passwords.errors import HashingBusy
from workload.settings import SettingsFault

_FULL = "too many passwords are waiting to be hashed"
_Result = TypeVar("_Result")
_MAX_SLOTS, _MAX_WAITING, _MAX_WAIT_SECONDS = 64, 10_000, 60.0


class PoolLoad(NamedTuple):
    """What a pool is doing, and how many it has turned away since it was made."""

    running: int
    waiting: int
    turned_away: int


class _Job:
    """What is to be run, and where its outcome goes."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.done: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def run(self) -> Callable[[], None]:
        """Run it, unless nobody waits for it any more; returns what delivers its outcome."""
        if not self.done.set_running_or_notify_cancel():
            return _nothing
        try:
            result = self._work()
        except BaseException as exc:  # noqa: BLE001 - it is the caller's, and reaches the caller
            return partial(self.done.set_exception, exc)
        return partial(self.done.set_result, result)


class HashingPool:
    """Runs jobs for callers of both kinds: coroutines of any event loop, and threads."""

    def __init__(self, slots: int = 2, max_waiting: int = 64, wait_seconds: float = 3.0) -> None:
        if not 1 <= slots <= _MAX_SLOTS or not 0 <= max_waiting <= _MAX_WAITING:
            raise SettingsFault(
                f"slots must be from 1 to {_MAX_SLOTS}, max_waiting from 0 to {_MAX_WAITING}"
            )
        if not 0 < wait_seconds <= _MAX_WAIT_SECONDS:
            raise SettingsFault(f"wait_seconds must be above 0 and up to {_MAX_WAIT_SECONDS:g}")
        self.slots = slots
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self._turned_away = 0
        self._empty()

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return what ``work`` returns. Raises ``HashingBusy``, and what ``work`` raises."""
        job = self._enter(work)
        outcome = asyncio.wrap_future(job.done)
        try:
            await asyncio.wait({outcome}, timeout=self._wait_seconds)
        except asyncio.CancelledError:
            self._withdraw(job)
            outcome.cancel()
            raise
        if not outcome.done() and self._withdraw(job):
            outcome.cancel()
            raise self._busy(_FULL)
        result: _Result = await outcome
        return result

    def run_sync(self, work: Callable[[], _Result]) -> _Result:
        """Do the same for a caller that is a thread."""
        job = self._enter(work)
        try:
            concurrent.futures.wait({job.done}, timeout=self._wait_seconds)
        except BaseException:  # an interrupted main thread
            self._withdraw(job)
            raise
        if not job.done.done() and self._withdraw(job):
            raise self._busy(_FULL)
        result: _Result = job.done.result()
        return result

    def load(self) -> PoolLoad:
        """Return what it is doing, for metrics."""
        with self._lock:
            waiting = len(self._waiting)
            return PoolLoad(self._admitted - waiting, waiting, self._turned_away)

    def _empty(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._admitted = 0
        self._threads = 0

    def _enter(self, work: Callable[[], object]) -> _Job:
        if self._process != os.getpid():
            self._empty()  # the threads stayed behind in the process that forked
        job = _Job(work)
        with self._lock:
            admitted = self._admitted < self.slots + self._max_waiting
            starts = admitted and self._threads < self.slots
            if admitted:
                self._admitted += 1
                self._waiting.append(job)
            if starts:
                self._threads += 1
        if not admitted:
            raise self._busy(_FULL)
        if starts:
            self._start_thread(job)
        return job

    def _start_thread(self, job: _Job) -> None:
        try:
            threading.Thread(target=self._serve, name="password-hashing", daemon=True).start()
        except RuntimeError:  # the process may have no more threads
            with self._lock:
                self._threads -= 1
                others = self._threads
            if not others and self._withdraw(job):
                raise self._busy("no thread can be started to hash a password") from None

    def _serve(self) -> None:
        job = self._next()
        while job is not None:
            deliver = job.run()
            with self._lock:
                self._admitted -= 1
            deliver()  # now, so that who gets it finds the slot free
            job = self._next()

    def _next(self) -> _Job | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def _withdraw(self, job: _Job) -> bool:
        """Take a job out of the queue; false where it has begun."""
        with self._lock:
            if job not in self._waiting:
                return False
            self._waiting.remove(job)
            self._admitted -= 1
            return True

    def _busy(self, why: str) -> HashingBusy:
        with self._lock:
            self._turned_away += 1
        return HashingBusy(why, self._wait_seconds)


def _nothing() -> None:
    """Deliver nothing: the caller has gone."""
