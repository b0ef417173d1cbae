"""The worker pool: starts, restarts and drains the workers, and adds up their statistics.

Every change of keys is sent to every worker, which must acknowledge it. A worker that does not
acknowledge, or does not reply at all, is killed within ``MAX_BEHIND_HEARTBEATS`` heartbeats and
restarted with the current keys. So within that time no process uses a withdrawn key any more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from sidecar.authz.acme_challenge import CHALLENGE_ROUTE, PendingChallenge
from sidecar.authz.routes import UNMATCHED
from sidecar.common.errors import Fault
from sidecar.common.registered_domains import RegisteredDomains, Shard
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.runtime.workers.frames import (
    PROTOCOL,
    ChallengesReply,
    ChallengesRequest,
    Domains,
    Drain,
    KeysFrame,
    KnownChallenge,
    Policies,
    Readiness,
    Start,
    encode,
    public_keys,
    publisher_keys,
)
from sidecar.runtime.workers.output import LineQueue
from sidecar.runtime.workers.process import (
    COMMAND,
    MAX_BEHIND_HEARTBEATS,
    Ended,
    WorkerProcess,
)
from sidecar.runtime.workers.process import END_SECONDS as PROCESS_END_SECONDS
from sidecar.runtime.workers.revoked import RevokedParts
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import Revocations
from sidecar.transport.sockets import inode_of, path_of, remove_own_socket
from workload.backoff import CONTENDED_JITTER_SHARE, Backoff

HEARTBEAT_SECONDS = 1.0
START_SECONDS = 30.0
STATS_SECONDS = 0.25
SETTLE_SECONDS = (MAX_BEHIND_HEARTBEATS + 2) * HEARTBEAT_SECONDS + 2 * PROCESS_END_SECONDS
"""Longer than a worker that does not acknowledge its keys may live."""
SETTLE_POLL_SECONDS = 0.005
CHALLENGE_SECONDS = 4.0
"""A worker's challenge request is answered within this time; a bit less than it waits."""
STEADY_SECONDS = 10.0
RESTARTS = Backoff(0.1, 10.0, jitter_share=CONTENDED_JITTER_SHARE)
END_SECONDS = 4.0
"""The time after the drain for a worker to write its audit lines and its final report."""

_log = logging.getLogger("sidecar.runtime.workers")


class WorkerFault(Fault):
    """A worker can't be started."""


class AuditQueue(LineQueue, Protocol):
    """The queue of the audit lines of all workers; ``AuditLog`` is one."""

    def share(self, parts: int) -> LineQueue:
        """Return the share of the queue that one of so many workers may fill."""


class FleetChallenges(Protocol):
    """Finds ACME challenges; ``certificates.challenges.distributed_solver`` implements it."""

    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        """Find several with one look."""


class Dependencies(NamedTuple):
    """The pool's dependencies: time, randomness, the queue of audit lines, the command."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    audit: AuditQueue
    command: Sequence[str] = COMMAND


class Slot:
    """One worker's slot: its address, its current process, the totals of its former processes."""

    def __init__(self, number: int, address: str, audit: LineQueue) -> None:
        self.audit = audit
        self.number = number
        self.address = address
        self.process: WorkerProcess | None = None
        self.past = WorkerStats()
        self.inode = 0
        """Of its Unix socket, where it listens on one."""
        self.restarts = dict.fromkeys(Ended, 0)

    @property
    def serving(self) -> bool:
        """Whether its process answers Checks."""
        return self.process is not None and self.process.serving

    @property
    def version(self) -> int:
        """The version of the keys that its process uses; 0 for none."""
        return self.process.applied if self.process is not None else 0

    def stats(self) -> WorkerStats:
        """Return this slot's statistics, former processes included."""
        total = WorkerStats()
        total.add_totals(self.past)
        if self.process is not None:
            total.merge(self.process.stats)
        return total

    def retire(self, process: WorkerProcess) -> None:
        """Add the totals of a process that has ended."""
        process.stats.audit_dropped += process.lost_lines
        self.past.add_totals(process.stats)
        self.process = None


class WorkerPool:
    """N supervised workers.

    ``on_change`` is called with the number of workers that serve, and of all; ``on_unknown_kid``
    when a worker reports a token whose key it does not know; ``on_fault`` with an unexpected
    exception of the pool or of a callback, after which supervision continues.

    It needs no Vault: ``publish`` keys, ``await start()``, and the addresses answer Checks.
    Benchmarks and tests run workers this way.
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
        self.version = 0
        self._policies = encode(Policies(config))
        self._routes = frozenset(
            {UNMATCHED, CHALLENGE_ROUTE, *(route.name for route in config.routes)}
        )
        self._drain_seconds = config.listen.drain_seconds
        self._dependencies = dependencies
        self._on_change = on_change
        self._on_fault = on_fault
        self.on_unknown_kid: Callable[[], None] = lambda: None
        self.challenges: FleetChallenges | None = None
        """The source of the challenges that workers request, where ACME is configured."""
        self._reply_tasks: set[asyncio.Task[None]] = set()
        self._ready = False
        self._draining = asyncio.Event()
        self._content: tuple[object, ...] = ()
        self._order: KeysFrame | None = None
        self._revoked = RevokedParts()
        self._publishers = NO_PUBLISHERS
        self._domains: dict[int, Shard] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._first: list[asyncio.Future[None]] = []

    @property
    def serving(self) -> int:
        """How many workers answer Checks."""
        return sum(slot.serving for slot in self.slots)

    def publish(
        self,
        ring: KeyRing,
        revocations: Revocations,
        state: KeyState,
        *,
        revocations_degraded: bool = False,
    ) -> None:
        """Send the keys and revocations to every worker, if they have changed."""
        content = (tuple(ring), revocations, state, revocations_degraded)
        if content == self._content:
            return
        keys = public_keys(ring)
        # What can't be encoded is found out before the parts of the order in force are let go.
        _encode_keys(KeysFrame(0, keys, (), state), self._publishers, 0)
        for raw in self._revoked.take(revocations.parts):
            for process in self._processes():
                process.send_encoded(raw)
        order = KeysFrame(0, keys, self._revoked.numbers, state, revocations_degraded)
        self._give(order, self._publishers)
        self._content = content

    def publish_publishers(self, publishers: Publishers) -> None:
        """Give every worker the publishers of modules."""
        if self._order is not None:
            self._give(self._order, publishers)
        self._publishers = publishers

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Send the changed shards of the tenants' domains to every worker."""
        for number, shard in enumerate(registered.shards):
            if shard is self._domains.get(number, {}) or shard == self._domains.get(number, {}):
                continue
            raw = encode(Domains(self.version + 1, number, dict(shard)))
            self._domains[number] = shard
            self.version += 1
            for process in self._processes():
                process.give(raw, self.version)

    def _give(self, order: KeysFrame, publishers: Publishers) -> None:
        """Send all of what decides, as a version of its own.

        It is encoded before it is kept: what can't be is given to no worker that starts later.
        """
        raw = _encode_keys(order, publishers, self.version + 1)
        self.version += 1
        self._order = order
        for process in self._processes():
            process.give(raw, self.version)

    def stats(self) -> WorkerStats:
        """Return what all of them came to."""
        total = WorkerStats()
        for slot in self.slots:
            total.merge(slot.stats())
        return total

    def set_ready(self, ready: bool) -> None:
        """Set the readiness that the workers' gRPC health reports."""
        self._ready = ready
        for process in self._processes():
            process.send(Readiness(ready))

    async def start(self) -> None:
        """Start all workers, and return when all serve with the published keys.

        Raises ``WorkerFault`` for the first that fails to start.
        """
        loop = asyncio.get_running_loop()
        self._first = [loop.create_future() for _ in self.slots]
        self._tasks = [asyncio.create_task(self._supervise(slot)) for slot in self.slots]
        self._tasks.append(asyncio.create_task(self._heartbeat()))
        try:
            await asyncio.wait_for(asyncio.gather(*self._first), START_SECONDS)
        except TimeoutError:
            raise WorkerFault(
                f"the workers did not start to serve within {START_SECONDS:.0f} s: the log says "
                "what each one reported"
            ) from None

    async def stop(self) -> None:
        """Drain all workers at once; kill those that exceed the time."""
        self._draining.set()
        for process in self._processes():
            process.send(Drain())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_seconds + END_SECONDS)
        for process in self._processes():
            _log.error("worker %d does not end within its drain time: killed", process.number)
            process.kill(Ended.HUNG)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self.slots:  # a confined worker can't remove its own socket
            if (path := path_of(slot.address)) is not None:
                remove_own_socket(path, slot.inode)

    @property
    def hardening(self) -> frozenset[str]:
        """How the serving workers are confined, as they report it; one text if all are alike."""
        return frozenset(each.hardening for each in self._processes() if each.serving)

    async def refresh_stats(self) -> None:
        """Request every worker's statistics, and wait for them for ``STATS_SECONDS``."""
        asked = [process.request_stats() for process in self._processes() if process.serving]
        if asked:
            await asyncio.wait(asked, timeout=STATS_SECONDS)

    async def settle(self) -> tuple[int, ...]:
        """Wait until no process uses older keys than the current ones.

        That is until each has acknowledged them or has ended: one that hangs is killed after
        ``MAX_BEHIND_HEARTBEATS``. Returns the numbers of the workers that take longer.
        """
        request = self.version
        deadline = self._dependencies.clock() + SETTLE_SECONDS
        while behind := [p.number for p in self._processes() if not p.decides_by(request)]:
            if self._dependencies.clock() >= deadline:
                break
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        return tuple(behind)

    def _processes(self) -> Iterator[WorkerProcess]:
        return (slot.process for slot in self.slots if slot.process is not None)

    async def _supervise(self, slot: Slot) -> None:
        """Run one worker process after another, with growing pauses while they end early.

        An unexpected exception is reported, and the next process is started nevertheless.
        """
        failures = 0
        while not self._draining.is_set():
            started_at = self._dependencies.clock()
            try:
                await self._run_one(slot)
            except Exception as exc:  # noqa: BLE001 - the supervisor's edge: it continues
                self._on_fault(exc)
            if self._draining.is_set():
                return
            steady = self._dependencies.clock() - started_at >= STEADY_SECONDS
            failures = 0 if steady else failures + 1
            await self._wait_before_restart(failures)

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
            self._notify_change()
        if self._draining.is_set():
            return
        slot.restarts[ended] += 1
        what = process.refusal or f"it ended with exit code {process.exit_code}"
        first = self._first[slot.number]
        if not first.done():
            first.set_exception(WorkerFault(f"worker {slot.number}: {what}"))
        _log.error("worker %d ended: %s", slot.number, what)

    def _make(self, slot: Slot) -> WorkerProcess:
        def serves() -> None:
            _log.info("worker %d serves on %s", slot.number, slot.address)
            if (path := path_of(slot.address)) is not None:
                slot.inode = inode_of(path)
            if not self._first[slot.number].done():
                self._first[slot.number].set_result(None)
            self._notify_change()

        def first_frames() -> tuple[int, Sequence[bytes]]:
            frames = [
                encode(Start(PROTOCOL, slot.number, slot.address)),
                self._policies,
                encode(Readiness(self._ready)),
                *self._revoked.frames(),
                *(
                    encode(Domains(0, number, dict(shard)))
                    for number, shard in self._domains.items()
                ),
                # Last, because it serves from then on, and of the newest version of all.
                *(
                    ()
                    if self._order is None
                    else (_encode_keys(self._order, self._publishers, self.version),)
                ),
            ]
            if self._draining.is_set():
                frames.append(encode(Drain()))
            return self.version, frames

        return WorkerProcess(
            slot.number,
            first_frames,
            audit=slot.audit,
            on_serving=serves,
            on_unknown_kid=self._unknown_kid,
            on_challenges=self._on_challenges_request,
            on_fault=self._on_fault,
            clock=self._dependencies.clock,
            routes=self._routes,
            command=self._dependencies.command,
        )

    def _on_challenges_request(self, process: WorkerProcess, request: ChallengesRequest) -> None:
        """Answer a challenge request; ``WorkerWatch`` allows a worker one at a time."""
        task = asyncio.create_task(self._reply_challenges(process, request))
        self._reply_tasks.add(task)
        task.add_done_callback(self._reply_tasks.discard)

    async def _reply_challenges(self, process: WorkerProcess, wanted: ChallengesRequest) -> None:
        """Answer a worker, whatever comes of it: it asks no further before."""
        found: Mapping[str, PendingChallenge] = {}
        try:
            if self.challenges is not None:
                async with asyncio.timeout(CHALLENGE_SECONDS):
                    found = await self.challenges.find_all(wanted.tokens)
            known = (KnownChallenge(token, each.host, each.answer) for token, each in found.items())
            raw = encode(ChallengesReply(wanted.number, tuple(known)))
        except TimeoutError:
            raw = encode(ChallengesReply(wanted.number))
        except Exception as exc:  # noqa: BLE001 - the task's edge
            self._on_fault(exc)
            raw = encode(ChallengesReply(wanted.number))
        process.tell_challenges(raw)

    def _unknown_kid(self) -> None:
        self._call(self.on_unknown_kid)

    def _notify_change(self) -> None:
        self._call(lambda: self._on_change(self.serving, len(self.slots)))

    def _call(self, callback: Callable[[], None]) -> None:
        """Call a callback; an exception in it is reported, and does not end the worker."""
        try:
            callback()
        except Exception as exc:  # noqa: BLE001 - a frame is being read, or a worker has ended
            self._on_fault(exc)

    async def _wait_before_restart(self, failures: int) -> None:
        """Pause before the next process is started."""
        try:
            await self._pause(RESTARTS.pause_seconds(failures + 1, self._dependencies.jitter()))
        except Exception as exc:  # noqa: BLE001 - the supervisor's edge: it supervises on
            self._on_fault(exc)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), RESTARTS.max_seconds)

    async def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or the drain begins."""
        pause = asyncio.ensure_future(self._dependencies.sleep(seconds))
        over = asyncio.ensure_future(self._draining.wait())
        await asyncio.wait([pause, over], return_when=asyncio.FIRST_COMPLETED)
        for each in (pause, over):
            each.cancel()

    async def _heartbeat(self) -> None:
        while not self._draining.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), HEARTBEAT_SECONDS)
            for process in tuple(self._processes()):
                self._call(process.heartbeat)


def _encode_keys(order: KeysFrame, publishers: Publishers, version: int) -> bytes:
    return encode(
        msgspec.structs.replace(
            order,
            version=version,
            publishers=publisher_keys(publishers),
            withdrawn=tuple(publishers.withdrawn),
        )
    )
