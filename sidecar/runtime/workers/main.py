"""One worker: a process that answers Checks on its own address, and does nothing else.

``python -m sidecar.runtime.workers.main`` is started by the main process only (``pool``), with
its end of the channel as standard input and a pipe for audit lines as standard output. It reads
no file and no environment: the configuration, public keys and revocations arrive through the
channel, and the process at its other end is trusted. Once its listener is bound, and before it
reads a byte from it, it gives up access to files, other sockets and other processes
(``runtime.hardening``). It listens when it has its first keys, and ends on a ``Drain`` frame or
when the channel closes, after the calls in flight. It ignores signals: the main process acts.

Longer than other files: one class answers every frame, and they share its state.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.common.faults import FaultReporter, watch_loop
from sidecar.decision_cache.memory import SharedMemory, take_memory
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.counters import Counters
from sidecar.runtime.check import traces_of
from sidecar.runtime.hardening.process import Hardening, begin_worker, confine_worker
from sidecar.runtime.signals import ignore_signals
from sidecar.runtime.workers.challenges import RequestedChallenges
from sidecar.runtime.workers.channel import Channel, inherited_end, open_channel
from sidecar.runtime.workers.compiling import PolicyCompiler
from sidecar.runtime.workers.frames import (
    MAX_TEXT,
    PROTOCOL,
    Applied,
    ChallengesReply,
    ChallengesRequest,
    Domains,
    Drain,
    Policies,
    Readiness,
    Report,
    Serving,
    SharePort,
    Start,
    StatsRequest,
    TenantTableFrame,
    ToWorker,
    VersionRefused,
)
from sidecar.runtime.workers.framing import MAX_TO_WORKER_BYTES, FrameFault, FrameReader
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked
from sidecar.runtime.workers.limit_frames import (
    CreditSlotsFrame,
    LeasesHeld,
    LimitsShares,
    LimitsState,
    TenantLimitsFrame,
)
from sidecar.runtime.workers.limits import WorkerLimits
from sidecar.runtime.workers.log_channel import log_to
from sidecar.runtime.workers.resident_memory import ResidentMemory
from sidecar.runtime.workers.spans import SpanSender
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.runtime.workers.unknown_kid import UnknownKidReports
from sidecar.runtime.workers.worker_check import WorkerCheck
from sidecar.tokens.proofs import ProofGuard, guard_in
from sidecar.tokens.replays import MAX_TABLE_BYTES, record_lock
from sidecar.transport.descriptors import of_worker, raise_limit
from sidecar.transport.h2 import H2Server
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD
from sidecar.transport.ports import share_socket, take_new_connections
from sidecar.transport.sockets import ListenFault, open_listeners

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_USAGE = 2
START_SECONDS = 30.0
CLOSE_SECONDS = 2.0

_log = logging.getLogger("sidecar.runtime.workers")


def main() -> int:
    """Run until a ``Drain`` frame arrives or the channel closes; return the exit code."""
    ignore_signals()
    end = inherited_end()
    if end is None:
        sys.stderr.write(
            "not started: standard input is not the channel of a worker; run `sidecar serve`\n"
        )
        return EXIT_USAGE
    hardening = begin_worker()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Worker(hardening).run(end))


class Worker:
    """One worker process: its channel, listener, Check service and state."""

    def __init__(self, hardening: Hardening) -> None:
        self._hardening = hardening
        self._channel = Channel(
            FrameReader(ToWorker, MAX_TO_WORKER_BYTES), self._on_frame, self._on_closed
        )
        self._counters = Counters()
        self._on_fault = FaultReporter(self._counters.count_fault, monotonic_seconds, _log)
        self._begun = asyncio.Event()
        self._over = asyncio.Event()
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: Exception | None = None
        self._start: Start | None = None
        self._listeners: list[socket.socket] = []
        self._ready = False
        self._unknown_kids = UnknownKidReports(self._channel.send, monotonic_seconds)
        self._challenges = RequestedChallenges(
            lambda number, tokens: self._channel.send(ChallengesRequest(number, tokens))
        )
        self._check: WorkerCheck | None = None
        self._compiler = PolicyCompiler(self._channel.send, self._on_fault)
        self._resident_memory = ResidentMemory()  # a confined process can't open the file
        self._limits: WorkerLimits | None = None
        self._server: H2Server | None = None
        self._proofs: SharedMemory | None = None
        self._spans: SpanSender | None = None

    async def run(self, end: socket.socket) -> int:
        """Start, serve, drain."""
        watch_loop(asyncio.get_running_loop(), self._on_fault)
        await open_channel(end, self._channel)
        log_to(self._channel)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), START_SECONDS)
        code = EXIT_FAULT
        if self._check is not None and self._check.version and not self._over.is_set():
            code = await self._serve()
        if self._check is not None:
            self._check.close(CLOSE_SECONDS)
            if self._spans is not None:
                self._spans.send()
            self._channel.send(self._report(0))
        self._channel.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), CLOSE_SECONDS)
        if self._fault is not None:
            text = str(self._fault) if isinstance(self._fault, Fault) else repr(self._fault)
            sys.stderr.write(text[:MAX_TEXT] + "\n")  # the channel is closed
            return EXIT_FAULT
        return code

    async def _serve(self) -> int:
        if self._start is None or self._check is None:
            raise FrameFault("keys were sent before the configuration")
        if not self._listeners:
            return EXIT_FAULT  # VersionRefused was sent
        server = H2Server(
            self._start.address,
            {CHECK_METHOD: self._check.service.handle},
            limits=Limits(max_message_bytes=self._check.config.listen.authz.max_message_bytes),
            clock=monotonic_seconds,
            on_fault=self._on_fault,
            max_connections=of_worker(raise_limit()),
            traces=traces_of(self._check.config),
        )
        self._server = server
        await self._show_health()
        try:
            await server.start(self._listeners)
        except ListenFault as fault:
            self._channel.send(VersionRefused(str(fault)[:MAX_TEXT]))
            return EXIT_FAULT
        if self._start.joins:
            take_new_connections(self._listeners)
        self._channel.send(Serving(server.bound_address, str(self._hardening)))
        self._check.beat()
        await self._over.wait()
        await server.stop(self._check.config.listen.drain_seconds)
        self._check.rest()
        return EXIT_OK

    def _on_frame(self, frame: ToWorker) -> None:
        match frame:
            case StatsRequest(number=number):
                self._channel.send(self._report(number))
            case Revoked() | KeysFrame():
                self._take_keys(frame)
            case ChallengesReply(number=number, known=known):
                self._challenges.take_reply(number, known)
            case Domains() | TenantTableFrame():
                self._take_list(frame)
            case LimitsState() | LimitsShares() | TenantLimitsFrame():
                self._take_limits(frame)
            case Readiness(ready=ready):
                self._ready = ready
                self._show_health_soon()
            case LeasesHeld() | CreditSlotsFrame():
                self._configured("leases").take_leases(frame)
            case SharePort(shared=shared):
                self._share_port(shared=shared)
            case Drain():
                self._over.set()
                self._begun.set()
            case Start() | Policies():
                self._take_configuration(frame)

    def _take_configuration(self, frame: Start | Policies) -> None:
        if isinstance(frame, Start):
            self._take_start(frame)
        else:
            self._take_policies(frame)

    def _share_port(self, *, shared: bool) -> None:
        for listener in self._listeners:
            share_socket(listener, shared=shared)

    def _take_start(self, start: Start) -> None:
        """Bind, then confine this process: before any thread starts or a client's byte is read."""
        if start.protocol != PROTOCOL:
            raise FrameFault(
                f"the main process has protocol version {start.protocol}, this worker {PROTOCOL}:"
                " the sidecar was upgraded while it ran; restart it"
            )
        if self._start is not None:
            raise FrameFault("the frame 'start' was sent twice")
        self._start = start
        try:
            self._listeners = open_listeners(start.address, joins=start.joins)
        except ListenFault as fault:
            self._channel.send(VersionRefused(str(fault)))
            return
        self._hardening += confine_worker()
        if self._hardening.missing:
            _log.warning("this worker is not fully confined: %s", self._hardening)

    def _take_policies(self, frame: Policies) -> None:
        if self._start is None:
            raise FrameFault("the frame 'policies' must be the second one")
        if self._check is not None:
            self._check.expect(frame)
            self._run_soon(self._compiler.compile(self._check, frame))
            return
        config = frame.config
        logging.getLogger().setLevel(config.log.level.upper())
        self._check = check = WorkerCheck(
            frame, self._counters, self._on_fault, self._shared_proofs()
        )
        if check.limiter is not None:
            self._limits = WorkerLimits(
                check.limiter, asyncio.get_running_loop().call_later, self._channel.send
            )
        if self._start.control >= 0:
            check.join_decision_cache(self._start.control, self._start.number)
        if check.spans is not None:
            call_later = asyncio.get_running_loop().call_later
            self._spans = SpanSender(
                check.spans, self._channel.send, lambda: self._channel.unsent_bytes, call_later
            )
            self._spans.start()
        check.recorder.on_key_unknown = self._unknown_kids.report
        if config.listen.sds is not None:  # a reload may bring the first ACME issuer
            check.service.challenges = self._challenges

    def _shared_proofs(self) -> ProofGuard | None:
        """Return what workers remember together of DPoP proofs."""
        if self._start is None or self._start.proofs < 0:
            return None
        self._proofs = memory = take_memory(self._start.proofs, 1, MAX_TABLE_BYTES)
        return guard_in(memory.bytes, record_lock(memory.descriptor))

    def _configured(self, what: str) -> WorkerCheck:
        if self._check is None:
            raise FrameFault(f"{what} were sent before the configuration")
        return self._check

    def _take_keys(self, frame: Revoked | KeysFrame) -> None:
        if isinstance(frame, Revoked):
            self._configured("revocations").take_revoked(frame)
            return
        self._configured("keys").take_keys(frame)
        self._begun.set()
        self._channel.send(Applied(frame.version))
        self._show_health_soon()

    def _take_limits(self, frame: LimitsState | LimitsShares | TenantLimitsFrame) -> None:
        if self._limits is None:
            raise FrameFault("limits were sent, and the configuration has none")
        self._limits.take(frame)

    def _take_list(self, frame: Domains | TenantTableFrame) -> None:
        if isinstance(frame, Domains):
            self._configured("domains").take_domains(frame)
        else:
            self._configured("tables of tenants").take_tenant_table(frame)
        if frame.version:
            self._channel.send(Applied(frame.version))

    def _report(self, number: int) -> Report:
        if self._check is None:
            return Report(number, 0, WorkerStats(self._counters))
        stats = self._check.stats()
        stats.resident_bytes = self._resident_memory.read()
        if self._server is not None:
            stats.connections = len(self._server.connections)
        return Report(number, self._check.version, stats)

    def _show_health_soon(self) -> None:
        self._run_soon(self._show_health())

    def _run_soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _show_health(self) -> None:
        """Publish the main process's readiness and the state of this worker's keys."""
        if self._server is not None and self._check is not None:
            state = self._check.service.snapshot.key_state
            await self._server.health.set_serving(self._ready)
            await self._server.health.set_status(
                {f"keys.{each}": each is state for each in KeyState}
            )

    def _on_closed(self, exc: Exception | None) -> None:
        self._fault = exc
        self._closed.set()
        self._over.set()
        self._begun.set()


if __name__ == "__main__":
    sys.exit(main())
