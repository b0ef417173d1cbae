"""The workers: started together, restarted alone, drained together, added up.

Every change of keys goes to every worker and is acknowledged; one that does not
acknowledge, or does not answer at all, is killed within ``MAX_BEHIND_BEATS`` heartbeats and
started anew with the keys of then. So a withdrawn key is gone everywhere within that time,
or its worker is.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from sidecar.authz.acme_challenge import CHALLENGE_ROUTE, PendingChallenge
from sidecar.authz.routes import UNMATCHED
from sidecar.common.backoff import CONTENDED_JITTER_SHARE, Backoff
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
    MAX_BEHIND_BEATS,
    Ended,
    WorkerProcess,
)
from sidecar.runtime.workers.process import END_SECONDS as PROCESS_END_SECONDS
from sidecar.runtime.workers.revoked import RevokedParts
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import Revocations
from sidecar.transport.sockets import inode_of, path_of, remove_own_socket

BEAT_SECONDS = 1.0
START_SECONDS = 30.0
ASK_SECONDS = 0.25
SETTLE_SECONDS = (MAX_BEHIND_BEATS + 2) * BEAT_SECONDS + 2 * PROCESS_END_SECONDS
"""Longer than a worker that does not take its keys may live."""
SETTLE_POLL_SECONDS = 0.005
CHALLENGE_SECONDS = 4.0
"""Within this long a worker is told of the challenges it asked for; a bit less than it waits."""
STEADY_SECONDS = 10.0
RESTARTS = Backoff(0.1, 10.0, jitter_share=CONTENDED_JITTER_SHARE)
END_SECONDS = 4.0
"""What a worker may take beyond the drain: to write its audit lines and its last word."""

_log = logging.getLogger("sidecar.runtime.workers")


class WorkerFault(Fault):
    """A worker can't be started."""


class AuditQueue(LineQueue, Protocol):
    """Where the audit lines of all workers go; ``AuditLog`` is one."""

    def share(self, parts: int) -> LineQueue:
        """Return the part that one of so many workers may fill."""


class FleetChallenges(Protocol):
    """Where challenges of ACME are; ``certificates.challenges.http01`` has one."""

    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        """Find several with one look."""


class Dependencies(NamedTuple):
    """What the pool is given from outside: time, chance, and where audit lines go."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    audit: AuditQueue
    command: Sequence[str] = COMMAND


class Slot:
    """One of the N: its address, the process that serves it now, and what those before counted."""

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
        """Whether Checks are answered here."""
        return self.process is not None and self.process.serving

    @property
    def version(self) -> int:
        """The version of the keys that decides here; 0 for none."""
        return self.process.applied if self.process is not None else 0

    def numbers(self) -> WorkerStats:
        """Return what this slot came to, its former processes included."""
        total = WorkerStats()
        total.keep(self.past)
        if self.process is not None:
            total.merge(self.process.numbers)
        return total

    def retire(self, process: WorkerProcess) -> None:
        """Keep the counts of a process that has ended."""
        process.numbers.audit_dropped += process.lost_lines
        self.past.keep(process.numbers)
        self.process = None


class WorkerPool:
    """N supervised workers.

    ``on_change`` is called with how many serve, of how many; ``on_unknown_kid`` when a worker
    says that it was shown a token whose key it does not know; ``on_fault`` with a defect, of
    the pool or of whom it calls: it supervises on.

    It needs no Vault: ``publish`` keys, ``await start()``, and the addresses answer Checks.
    That is how a bench or a test has a worker alone.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        config: model.Config,
        tools: Dependencies,
        *,
        on_change: Callable[[int, int], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.slots = tuple(
            Slot(number, address, tools.audit.share(len(addresses)))
            for number, address in enumerate(addresses)
        )
        self.version = 0
        self._policies = encode(Policies(config))
        self._routes = frozenset(
            {UNMATCHED, CHALLENGE_ROUTE, *(route.name for route in config.routes)}
        )
        self._drain_seconds = config.listen.drain_seconds
        self._dependencies = tools
        self._on_change = on_change
        self._on_fault = on_fault
        self.on_unknown_kid: Callable[[], None] = lambda: None
        self.challenges: FleetChallenges | None = None
        """Where the challenges are that workers ask for, where there are any."""
        self._telling: set[asyncio.Task[None]] = set()
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
        """Give every worker the keys and revocations, if they are others than it has."""
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
        """Give every worker the shards of the owners of domains that have changed."""
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

    def numbers(self) -> WorkerStats:
        """Return what all of them came to."""
        total = WorkerStats()
        for slot in self.slots:
            total.merge(slot.numbers())
        return total

    def set_ready(self, ready: bool) -> None:
        """Have the workers' gRPC health say what ours says."""
        self._ready = ready
        for process in self._processes():
            process.send(Readiness(ready))

    async def start(self) -> None:
        """Start all, and return when all serve, with the keys that were published.

        Raises ``WorkerFault`` for the first that can't.
        """
        loop = asyncio.get_running_loop()
        self._first = [loop.create_future() for _ in self.slots]
        self._tasks = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        self._tasks.append(asyncio.create_task(self._beat()))
        try:
            await asyncio.wait_for(asyncio.gather(*self._first), START_SECONDS)
        except TimeoutError:
            raise WorkerFault(f"the workers do not serve within {START_SECONDS:.0f} s") from None

    async def stop(self) -> None:
        """Drain all at once; kill what is left when the time is over."""
        self._draining.set()
        for process in self._processes():
            process.send(Drain())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_seconds + END_SECONDS)
        for process in self._processes():
            _log.error("worker %d does not end: it is killed", process.number)
            process.kill(Ended.HUNG)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slot in self.slots:  # a confined worker can't remove its own
            if (path := path_of(slot.address)) is not None:
                remove_own_socket(path, slot.inode)

    @property
    def hardening(self) -> frozenset[str]:
        """What the workers that serve have given up, in their words; one text if all are alike."""
        return frozenset(each.hardening for each in self._processes() if each.serving)

    async def ask_all(self) -> None:
        """Have every worker's numbers brought up to date, as far as that is quick."""
        asked = [process.ask() for process in self._processes() if process.serving]
        if asked:
            await asyncio.wait(asked, timeout=ASK_SECONDS)

    async def settle(self) -> tuple[int, ...]:
        """Wait until no process decides by older keys than the newest at this moment.

        That is until each has acknowledged them or is gone: one that hangs is killed after
        ``MAX_BEHIND_BEATS``. Returns the numbers of those where it lasts longer.
        """
        wanted = self.version
        deadline = self._dependencies.clock() + SETTLE_SECONDS
        while behind := [p.number for p in self._processes() if not p.decides_by(wanted)]:
            if self._dependencies.clock() >= deadline:
                break
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        return tuple(behind)

    def _processes(self) -> Iterator[WorkerProcess]:
        return (slot.process for slot in self.slots if slot.process is not None)

    async def _keep(self, slot: Slot) -> None:
        """Run one worker after another, with pauses that grow while they do not last.

        A defect on the way is reported, and the next worker is started all the same.
        """
        failures = 0
        while not self._draining.is_set():
            started_at = self._dependencies.clock()
            try:
                await self._run_one(slot)
            except Exception as exc:  # noqa: BLE001 - the supervisor's edge: it supervises on
                self._on_fault(exc)
            if self._draining.is_set():
                return
            steady = self._dependencies.clock() - started_at >= STEADY_SECONDS
            failures = 0 if steady else failures + 1
            await self._rest(failures)

    async def _run_one(self, slot: Slot) -> None:
        """Run one worker to its end."""
        process = self._make(slot)
        slot.process = process
        try:
            ended = await process.run()
        except OSError as exc:
            ended, process.refusal = Ended.EXITED, f"it can't be started: {exc.strerror}"
        finally:
            slot.retire(process)
            self._tell()
        if self._draining.is_set():
            return
        slot.restarts[ended] += 1
        what = process.refusal or f"it ended with {process.exit_code}"
        first = self._first[slot.number]
        if not first.done():
            first.set_exception(WorkerFault(f"worker {slot.number}: {what}"))
        _log.error("worker %d is gone: %s", slot.number, what)

    def _make(self, slot: Slot) -> WorkerProcess:
        def serves() -> None:
            _log.info("worker %d serves on %s", slot.number, slot.address)
            if (path := path_of(slot.address)) is not None:
                slot.inode = inode_of(path)
            if not self._first[slot.number].done():
                self._first[slot.number].set_result(None)
            self._tell()

        def hello() -> tuple[int, Sequence[bytes]]:
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
            hello,
            audit=slot.audit,
            on_serving=serves,
            on_unknown_kid=self._unknown_kid,
            on_challenges=self._challenges_wanted,
            on_fault=self._on_fault,
            clock=self._dependencies.clock,
            routes=self._routes,
            command=self._dependencies.command,
        )

    def _challenges_wanted(self, process: WorkerProcess, wanted: ChallengesRequest) -> None:
        """Find what a worker asks for; ``WorkerWatch`` sees to it that it asks once at a time."""
        task = asyncio.create_task(self._tell_challenges(process, wanted))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_challenges(self, process: WorkerProcess, wanted: ChallengesRequest) -> None:
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

    def _tell(self) -> None:
        self._call(lambda: self._on_change(self.serving, len(self.slots)))

    def _call(self, callback: Callable[[], None]) -> None:
        """Call whoever listens; what that raises is no fault of a worker's."""
        try:
            callback()
        except Exception as exc:  # noqa: BLE001 - a frame is being read, or a worker has ended
            self._on_fault(exc)

    async def _rest(self, failures: int) -> None:
        """Wait before the next worker is started."""
        try:
            await self._pause(RESTARTS.pause_seconds(failures + 1, self._dependencies.jitter()))
        except Exception as exc:  # noqa: BLE001 - the supervisor's edge: it supervises on
            self._on_fault(exc)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), RESTARTS.max_seconds)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not into a drain."""
        pause = asyncio.ensure_future(self._dependencies.sleep(seconds))
        over = asyncio.ensure_future(self._draining.wait())
        await asyncio.wait([pause, over], return_when=asyncio.FIRST_COMPLETED)
        for each in (pause, over):
            each.cancel()

    async def _beat(self) -> None:
        while not self._draining.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), BEAT_SECONDS)
            for process in tuple(self._processes()):
                self._call(process.beat)


def _encode_keys(order: KeysFrame, publishers: Publishers, version: int) -> bytes:
    return encode(
        msgspec.structs.replace(
            order,
            version=version,
            publishers=publisher_keys(publishers),
            withdrawn=tuple(publishers.withdrawn),
        )
    )
