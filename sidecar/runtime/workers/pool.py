"""The worker pool: starts, restarts and drains the workers, and adds up their statistics.

What the workers decide by is sent by ``broadcast``. A worker that does not acknowledge it, or does
not reply at all, is killed within ``MAX_BEHIND_HEARTBEATS`` heartbeats and restarted with the
current keys. So within that time no process uses a withdrawn key any more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from sidecar.common.clock import Now, wall_seconds
from sidecar.common.faults import reported
from sidecar.config import model
from sidecar.observability.tracing.tracer import SpanRecord
from sidecar.runtime.workers.broadcast import Broadcast, WorkerFault, processes_of
from sidecar.runtime.workers.challenge_replies import ChallengeReplies
from sidecar.runtime.workers.frames import Drain
from sidecar.runtime.workers.liveness import HEARTBEAT_SECONDS
from sidecar.runtime.workers.output import LineQueue
from sidecar.runtime.workers.process import Ended, WorkerProcess
from sidecar.runtime.workers.restarts import RestartPauses
from sidecar.runtime.workers.slot import Slot, WorkerEnd, why_ended
from sidecar.runtime.workers.spawn import COMMAND
from sidecar.runtime.workers.stats import WorkerStats

START_SECONDS = 30.0
STATS_SECONDS = 0.25
END_SECONDS = 4.0
"""The time after the drain for a worker to write its audit lines and its final report."""

_log = logging.getLogger("sidecar.runtime.workers")


class AuditQueue(LineQueue, Protocol):
    """The queue of the audit lines of all workers; ``AuditLog`` is one."""

    def share(self, parts: int) -> LineQueue:
        """Return the share of the queue that one of so many workers may fill."""


class Dependencies(NamedTuple):
    """The pool's dependencies: time, randomness, the queue of audit lines, the command."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    audit: AuditQueue
    command: Sequence[str] = COMMAND
    control: int = -1
    """The descriptor of the decision cache's memory, which each worker inherits; -1 for none."""
    proofs: int = -1
    """That of the DPoP proofs that were seen; without it each worker remembers its own."""
    now: Now = wall_seconds
    take_spans: Callable[[Sequence[SpanRecord]], None] | None = None
    """Takes the spans of workers' Checks, if these are traced."""

    @property
    def inherited(self) -> list[int]:
        """The descriptors that each worker inherits."""
        return [each for each in (self.control, self.proofs) if each >= 0]


class WorkerPool:
    """N supervised workers.

    ``on_change`` is called with the number of workers that serve, and of all; ``on_unknown_kid``
    when a worker reports a token whose key it does not know; ``on_fault`` with an unexpected
    exception of the pool or of a callback, after which supervision continues.

    It needs no Vault: ``broadcast.publish`` keys, ``await start()``, and the addresses answer
    Checks. Benchmarks and tests run workers this way.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        config: model.Config,
        dependencies: Dependencies,
        *,
        on_change: Callable[[int, int], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.slots = tuple(
            Slot(number, address, dependencies.audit.share(len(addresses)))
            for number, address in enumerate(addresses)
        )
        self.challenges = ChallengeReplies(on_fault)
        self.broadcast = Broadcast(
            config, self.slots, dependencies.clock, dependencies.control, dependencies.proofs
        )
        self._drain_seconds = config.listen.drain_seconds
        self._dependencies = dependencies
        self._on_change = on_change
        self._on_fault = on_fault
        self.on_unknown_kid: Callable[[], None] = lambda: None
        self._draining = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._first: list[asyncio.Future[None]] = []

    @property
    def serving(self) -> int:
        """How many workers answer Checks."""
        return sum(slot.serving for slot in self.slots)

    def stats(self) -> WorkerStats:
        """Return the statistics of all workers together."""
        total = WorkerStats()
        for slot in self.slots:
            total.merge(slot.stats())
        return total

    async def start(self) -> None:
        """Start all workers, and return when all serve with the published keys.

        Raises ``WorkerFault`` for the first that fails to start.
        """
        loop = asyncio.get_running_loop()
        self._first = [loop.create_future() for _ in self.slots]
        self._tasks = [asyncio.create_task(self._supervise(slot)) for slot in self.slots]
        self._tasks.append(asyncio.create_task(self._heartbeat()))
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*self._first)
        except TimeoutError:
            raise WorkerFault(
                f"the workers did not start to serve within {START_SECONDS:.0f} s: the log says "
                "what each one reported"
            ) from None

    async def share_ports(self, *, shared: bool) -> None:
        """Let a successor's workers join the listeners of these, or nobody any more.

        Returns when every worker has done it, or has not replied for a while.
        """
        self.broadcast.join_ports(joins=False)
        self.broadcast.share_ports(shared=shared)
        for _ in range(2):  # a request that was open before the frame says nothing of it
            await self.refresh_stats()

    async def stop(self) -> None:
        """Drain all workers at once; kill those that exceed the time.

        One that does not serve yet has nothing to drain, and may read no frame for a while.
        """
        self._draining.set()
        for process in processes_of(self.slots):
            if process.serving:
                process.send(Drain())
            else:
                process.kill(Ended.EXITED)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_seconds + END_SECONDS)
        for process in processes_of(self.slots):
            _log.error("worker %d does not end within its drain time: killed", process.number)
            process.kill(Ended.HUNG)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self.slots:
            slot.remove_socket()

    @property
    def hardening(self) -> frozenset[str]:
        """How the serving workers are confined, as they report it; one text if all are alike."""
        return frozenset(each.hardening for each in processes_of(self.slots) if each.serving)

    async def drain_one(self, number: int) -> str:
        """Have one worker answer what it has and end; another takes its place.

        It is killed where it takes longer than a drain may. Returns what was done. Raises
        ``WorkerFault`` where no other worker would answer Checks meanwhile.
        """
        slot = self.slots[number]
        process = slot.process
        if process is None or not process.serving or self._draining.is_set():
            raise WorkerFault(f"worker {number} does not serve now: it is being restarted")
        if self.serving == 1:
            raise WorkerFault(
                f"worker {number} is the only one that answers Checks: requests would get 503;"
                " wait until another serves"
            )
        process.drain()
        try:
            async with asyncio.timeout(self._drain_seconds + END_SECONDS):
                await process.gone.wait()
        except TimeoutError:
            process.kill(Ended.ASKED)
            return f"Worker {number} did not end within its drain time: killed, and started again."
        return f"Worker {number} has answered what it had and ended; it is started again."

    async def refresh_stats(self) -> None:
        """Request every worker's statistics, and wait for them for ``STATS_SECONDS``."""
        asked = [process.request_stats() for process in processes_of(self.slots) if process.serving]
        if asked:
            await asyncio.wait(asked, timeout=STATS_SECONDS)

    async def _supervise(self, slot: Slot) -> None:
        """Run one worker process after another, with growing pauses while they end early.

        An unexpected exception is reported, and the next process is started nevertheless.
        """
        use = self._dependencies
        pauses = RestartPauses(use.clock, use.sleep, use.jitter)
        while not self._draining.is_set():
            pauses.started()
            with reported(self._on_fault):
                await self._run_one(slot)
            if self._draining.is_set():
                return
            await pauses.wait(self._draining, self._on_fault)

    async def _run_one(self, slot: Slot) -> None:
        """Run one worker process until it ends."""
        process = self._make(slot)
        slot.process = process
        try:
            ended = await process.run()
        except OSError as exc:
            ended, process.refusal = Ended.EXITED, f"its program can't be started: {exc.strerror}"
        finally:
            slot.retire(process)
            slot.forget_bound()
            self._notify_change()
        if self._draining.is_set():
            return
        slot.restarts[ended] += 1
        what = why_ended(process, ended)
        slot.ends.append(WorkerEnd(self._dependencies.now(), ended, what))
        first = self._first[slot.number]
        if not first.done():
            first.set_exception(WorkerFault(f"worker {slot.number}: {what}"))
        level = logging.INFO if ended is Ended.ASKED else logging.ERROR
        _log.log(level, "worker %d ended: %s", slot.number, what)

    def _make(self, slot: Slot) -> WorkerProcess:
        address = slot.next_address()

        def serves() -> None:
            try:
                slot.put_in_place()
            except OSError as exc:
                process.refusal = f"cannot listen on {slot.address}: {exc.strerror}"
                process.kill(Ended.EXITED)
                return
            slot.serving_since = self._dependencies.now()
            _log.info("worker %d serves on %s", slot.number, slot.address)
            if not self._first[slot.number].done():
                self._first[slot.number].set_result(None)
            self._notify_change()

        def first_frames() -> tuple[int, Sequence[bytes]]:
            draining = self._draining.is_set()
            return self.broadcast.first_frames(slot.number, address, draining=draining)

        process = WorkerProcess(
            slot.number,
            first_frames,
            audit=slot.audit,
            on_serving=serves,
            on_unknown_kid=self._unknown_kid,
            on_challenges=self.challenges.answer,
            on_limits=partial(self.broadcast.divide_limits, slot.number),
            on_spans=self._dependencies.take_spans,
            on_fault=self._on_fault,
            clock=self._dependencies.clock,
            routes=self.broadcast.routes,
            inherited=self._dependencies.inherited,
            command=self._dependencies.command,
        )
        return process

    def _unknown_kid(self) -> None:
        self._call(self.on_unknown_kid)

    def _notify_change(self) -> None:
        self._call(lambda: self._on_change(self.serving, len(self.slots)))

    def _call(self, callback: Callable[[], None]) -> None:
        """Call a callback; an exception in it is reported, and does not end the worker."""
        with reported(self._on_fault):  # a frame is being read, or a worker has ended
            callback()

    async def _heartbeat(self) -> None:
        while not self._draining.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), HEARTBEAT_SECONDS)
            for process in tuple(processes_of(self.slots)):
                self._call(process.heartbeat)
