"""One worker process as the main process manages it, from its spawn to its end.

Longer than other files: what it may send depends on what it was sent, and when.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Container, Sequence
from enum import StrEnum

from sidecar.common.errors import Fault
from sidecar.observability.tracing.tracer import SpanRecord
from sidecar.runtime.workers.awaited_reports import AwaitedReports
from sidecar.runtime.workers.channel import Channel, open_channel
from sidecar.runtime.workers.frames import (
    Applied,
    ChallengesRequest,
    Compiled,
    Drain,
    FromWorker,
    LogLine,
    Report,
    Serving,
    Spans,
    StatsRequest,
    UnknownKid,
    VersionRefused,
)
from sidecar.runtime.workers.framing import MAX_FROM_WORKER_BYTES, Frame, FrameFault, FrameReader
from sidecar.runtime.workers.limit_frames import LimitsShares, LimitsUsed
from sidecar.runtime.workers.liveness import Liveness
from sidecar.runtime.workers.output import AuditPipe, ErrorPipe, LineQueue
from sidecar.runtime.workers.published import EncodedPolicies
from sidecar.runtime.workers.spawn import COMMAND, spawn
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.runtime.workers.watch import WorkerWatch

END_SECONDS = 3.0
"""How long a worker that has closed its channel may take to end, output included."""
POLL_SECONDS = 0.01

_log = logging.getLogger("sidecar.runtime.workers")


class Ended(StrEnum):
    """Why a worker ended: a label of ``septem_worker_restarts_total``."""

    EXITED = "exited"
    HUNG = "hung"
    BROKE_PROTOCOL = "protocol"
    ASKED = "asked"
    """An operator has had it answer what it had, and end."""


class WorkerProcess:
    """The child, its channel, and the pipes of its audit lines and of its standard error.

    ``WorkerWatch`` checks everything it sends first: it is killed for what no correct worker
    sends. ``first_frames`` returns the version of the keys, which the worker must acknowledge,
    and the frames that are sent first. ``on_serving`` is called when it listens,
    ``on_unknown_kid`` when it reports an unknown key. ``routes`` are the names it may count
    under, since its counts become labels. ``on_spans`` is called with spans of its Checks;
    without it, it may send none. ``inherited`` are descriptors that it gets as they are.
    """

    def __init__(
        self,
        number: int,
        first_frames: Callable[[], tuple[int, Sequence[bytes]]],
        *,
        audit: LineQueue,
        on_serving: Callable[[], None],
        on_unknown_kid: Callable[[], None],
        routes: Container[str],
        clock: Callable[[], float],
        on_challenges: Callable[[ChallengesRequest, Callable[[bytes], None]], None] = (
            lambda _request, _send: None
        ),
        on_limits: Callable[[LimitsUsed], LimitsShares | None] = lambda _used: None,
        on_spans: Callable[[Sequence[SpanRecord]], None] | None = None,
        on_fault: Callable[[Exception], None] = lambda _exc: None,
        inherited: Sequence[int] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._watch = WorkerWatch(clock)
        self._on_fault = on_fault
        self._routes = routes
        self._inherited = tuple(inherited)
        self._command = command
        self.number = number
        self.pid = 0
        self.serving = False
        self.refusal = ""
        self.hardening = ""
        self.applied = 0
        self.compiled = 0
        """The number of the newest policies that it has compiled since it started."""
        self.compile_problem = ""
        self._policies_given = 0
        self.stats = WorkerStats()
        self.ended = Ended.EXITED
        self._first_frames = first_frames
        self._first_frames_sent = False
        self._expected_version = 0
        self._on_serving = on_serving
        self._on_unknown_kid = on_unknown_kid
        self._on_challenges = on_challenges
        self._on_limits = on_limits
        self._on_spans = on_spans
        self._lines = AuditPipe(audit, self._on_breach, clock)
        self._errors = ErrorPipe(self._on_error_line, self._on_breach)
        self._channel = Channel(
            FrameReader(FromWorker, MAX_FROM_WORKER_BYTES),
            self._on_frame,
            self._on_closed,
            self._watch.take_bytes,
        )
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = asyncio.Event()
        self.gone = asyncio.Event()
        """Set once it has ended, and its output was read."""
        self._liveness = Liveness()
        self._awaited = AwaitedReports()
        self.lost_lines = 0

    async def run(self) -> Ended:
        """Spawn it and wait for its end, its final report and last audit lines included."""
        child, parent_end = spawn(self._command, self._inherited)
        self._child = child
        self.pid = child.pid
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: self._lines, child.stdout)
            await loop.connect_read_pipe(lambda: self._errors, child.stderr)
            await open_channel(parent_end, self._channel)
            self._send_first_frames()
            await self._closed.wait()
        finally:
            self.serving = False
            await self._reap(child)
            self.gone.set()
        return self.ended

    def _send_first_frames(self) -> None:
        """Send the first frames, which include every change until now."""
        self._expected_version, frames = self._first_frames()
        for raw in frames:
            self._channel.send_encoded(raw)
        self._first_frames_sent = True

    async def _reap(self, child: "subprocess.Popen[bytes]") -> None:
        """Wait for a child whose channel is closed to end, and for its last audit lines."""
        self._channel.close()
        if not await _within(END_SECONDS, lambda: child.poll() is not None):
            self.kill(Ended.HUNG)
            await _within(END_SECONDS, lambda: child.poll() is not None)
        await _within(END_SECONDS, lambda: self._lines.ended and self._errors.ended)
        self._errors.close()
        self.lost_lines = self._lines.close()
        self._awaited.end()

    def give(self, raw: bytes, version: int) -> None:
        """Send encoded keys; the worker must acknowledge ``version``."""
        if self._first_frames_sent:
            self._expected_version = version
            self._channel.send_encoded(raw)

    def give_policies(self, policies: EncodedPolicies) -> None:
        """Send policies, which the worker compiles and acknowledges; each is sent once."""
        if self._first_frames_sent and policies.number > self._policies_given:
            self._policies_given = policies.number
            self._channel.send_encoded(policies.frame)

    def decides_by(self, version: int) -> bool:
        """Return whether the worker uses this version of the keys, or a later one.

        True before the first frames are sent, as they will have the newest version.
        """
        return not self._first_frames_sent or self.applied >= version

    def send(self, frame: Frame) -> None:
        """Send a frame, unless the first frames were not sent yet."""
        if self._first_frames_sent:
            self._channel.send(frame)

    def send_encoded(self, raw: bytes) -> None:
        """Send an encoded frame, unless the first frames were not sent yet."""
        if self._first_frames_sent:
            self._channel.send_encoded(raw)

    def heartbeat(self) -> None:
        """Send a heartbeat; kill the worker after too many missed ones or unacknowledged keys."""
        if not self.serving:
            what = self._liveness.starting()
        else:
            what = self._liveness.serving(
                lane_stalled_ms=self.stats.lane_stalled_ms,
                applied_newest=self.applied == self._expected_version,
                unsent_bytes=self._channel.unsent_bytes,
            )
        if what:
            _log.error("worker %d %s: killed, and restarted after a pause", self.number, what)
            self.kill(Ended.HUNG)
        elif self.serving:
            self._send_stats_request()

    def request_stats(self) -> "asyncio.Future[None]":
        """Request its statistics; the future is done when they arrive or the worker ends.

        While a request is open no other one is sent: concurrent callers share it.
        """
        live = self._liveness
        number = live.requested if live.is_request_open else self._send_stats_request()
        return self._awaited.future(number)

    def _send_challenges(self, raw: bytes) -> None:
        """Send the encoded reply to its challenge request: it may send the next one."""
        self._watch.answered_challenges()
        self.send_encoded(raw)

    def drain(self) -> None:
        """Have it answer what it has and end: an operator asked for that."""
        self.ended = Ended.ASKED
        self.send(Drain())

    def kill(self, why: Ended) -> None:
        """Kill it and the processes of its session."""
        self.ended = why
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.kill()

    @property
    def exit_code(self) -> int | None:
        """Its exit code; negative for a signal."""
        return self._child.poll() if self._child is not None else None

    def _send_stats_request(self) -> int:
        number = self._liveness.next_request()
        self._channel.send(StatsRequest(number))
        return number

    def _on_frame(self, frame: FromWorker) -> None:
        self._watch.take_frame(frame)
        match frame:
            case Report():
                self._take_report(frame)
            case Applied(version=version):
                self._watch.check_applied(frame, self.applied, self._expected_version)
                self.applied = version
            case Compiled(number=number, problem=problem):
                self._watch.check_compiled(number, self.compiled, self._policies_given)
                self.compiled, self.compile_problem = number, problem
            case UnknownKid():
                self._on_unknown_kid()
            case ChallengesRequest():
                self._on_challenges(frame, self._send_challenges)
            case LimitsUsed():
                if (shares := self._on_limits(frame)) is not None:
                    self.send(shares)
            case Serving() | VersionRefused():
                self._take_start(frame)
            case Spans(spans=spans):
                self._take_spans(spans)
            case LogLine(level=level, message=message):
                _log.log(level, "worker %d: %s", self.number, message)

    def _take_start(self, frame: Serving | VersionRefused) -> None:
        if isinstance(frame, VersionRefused):
            self.refusal = frame.message
            return
        self.hardening = frame.hardening
        self.serving = True
        self._on_serving()

    def _take_spans(self, spans: Sequence[SpanRecord]) -> None:
        if self._on_spans is None:
            raise FrameFault("it sends spans, and nothing is traced")
        self._on_spans(spans)

    def _take_report(self, report: Report) -> None:
        stats = report.stats
        stats.counters.keep_known(self._routes)
        self._watch.check_applied(report, self.applied, self._expected_version)
        live = self._liveness
        self._watch.check_report(report, live.answered, live.requested, self.stats)
        live.take_answer(report.number)
        self.stats = stats
        self.applied = report.version
        self._awaited.answered(live.answered)

    def _on_error_line(self, line: bytes) -> None:
        """Log a line of its standard error, with the worker's number."""
        self._watch.take_log_line()
        _log.warning("worker %d: %s", self.number, line.decode("utf-8", "backslashreplace"))

    def _on_closed(self, exc: Exception | None) -> None:
        self._closed.set()
        if exc is not None and not isinstance(exc, OSError):
            self._on_breach(exc)

    def _on_breach(self, exc: Exception) -> None:
        """Kill it for what it sent; any exception but a ``Fault`` is a bug, and reported."""
        if not isinstance(exc, Fault):
            self._on_fault(exc)
        if self.ended is not Ended.BROKE_PROTOCOL:
            _log.error(
                "worker %d violates the protocol: %s: killed, and restarted after a pause",
                self.number,
                exc,
            )
        self.kill(Ended.BROKE_PROTOCOL)
        self._channel.abort()


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Poll for a condition; return False if it does not become true in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True
