"""One worker process, seen from the main one: from its spawn to its end.

It is a fresh interpreter, never a fork of this one: nothing of this process's memory is in
it. What it gets is one end of a socket pair as standard input, a pipe as standard output,
and of the environment only what an interpreter needs.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import sidecar
from sidecar.common.errors import Fault
from sidecar.runtime.workers.channel import Channel, open_channel
from sidecar.runtime.workers.frames import (
    MAX_UP_BYTES,
    Applied,
    Ask,
    ChallengesRequest,
    Frame,
    FrameReader,
    LogLine,
    Report,
    Serving,
    UnknownKid,
    Up,
    VersionRefused,
)
from sidecar.runtime.workers.output import AuditPipe, ErrorPipe, LineQueue
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.runtime.workers.watch import WorkerWatch

MAX_BEHIND_BEATS = 5
MAX_START_BEATS = 30
END_SECONDS = 3.0
"""How long a worker that has closed its channel may take to be gone, output included."""
MAX_UNSENT_BYTES = 134_217_728
LANE_STALL_MS = 1000
"""Calls that have waited this long for signature checks, and none is begun, are a sign of life
that is missing: it is killed for ``MAX_BEHIND_BEATS`` of those."""
POLL_SECONDS = 0.01
_ROOT = str(Path(sidecar.__path__[0]).parent)
COMMAND = (sys.executable, "-m", "sidecar.runtime.workers.main")
_KEPT_VARIABLES = ("PATH", "LANG", "TZ")
_KEPT_PREFIXES = ("LC_", "LD_", "MALLOC_", "PYTHON")

_log = logging.getLogger("sidecar.runtime.workers")


class Ended(StrEnum):
    """Why a worker ended: a label of ``septem_worker_restarts_total``."""

    EXITED = "exited"
    HUNG = "hung"
    BROKE_PROTOCOL = "protocol"


class WorkerProcess:
    """The child, its channel, and the pipes of its audit lines and of its standard error.

    What it sends passes ``WorkerWatch`` first: it is killed for what no worker of ours sends.
    ``hello`` makes the frames it is given first, and says which version of the keys is among
    them: that is what it has to acknowledge.
    ``on_serving`` is called when it listens, ``on_unknown_kid`` when it says so. ``routes`` are
    the names it may count under: what it reports becomes labels.
    """

    def __init__(
        self,
        number: int,
        hello: Callable[[], tuple[int, Sequence[bytes]]],
        *,
        audit: LineQueue,
        on_serving: Callable[[], None],
        on_unknown_kid: Callable[[], None],
        routes: frozenset[str],
        clock: Callable[[], float],
        on_challenges: "Callable[[WorkerProcess, ChallengesRequest], None]" = lambda _by, _asks: (
            None
        ),
        on_fault: Callable[[Exception], None] = lambda _exc: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._watch = WorkerWatch(clock)
        self._on_fault = on_fault
        self._routes = routes
        self._command = command
        self.number = number
        self.pid = 0
        self.serving = False
        self.refusal = ""
        self.hardening = ""
        self.applied = 0
        self.numbers = WorkerStats()
        self.ended = Ended.EXITED
        self._hello = hello
        self._greeted = False
        self._wanted = 0
        self._on_serving = on_serving
        self._on_unknown_kid = on_unknown_kid
        self._on_challenges = on_challenges
        self._lines = AuditPipe(audit, self._on_breach, clock)
        self._errors = ErrorPipe(self._on_error_line, self._on_breach)
        self._channel = Channel(
            FrameReader(Up, MAX_UP_BYTES),
            self._on_frame,
            self._on_closed,
            self._watch.take_bytes,
        )
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = asyncio.Event()
        self._asked = 0
        self._answered = 0
        self._start_beats = 0
        self._behind_beats = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.lost_lines = 0

    async def run(self) -> Ended:
        """Spawn it and wait for its end, its last words and last audit lines included."""
        ours, theirs = socket.socketpair()
        # Popen, and not the loop's own way: uvloop forks, which makes a copy of this process's
        # page tables and runs the fork handlers of grpcio; Popen does without (vfork).
        try:
            self._child = child = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program; returns at its exec
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=worker_environment(os.environ),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = child.pid
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: self._lines, child.stdout)
            await loop.connect_read_pipe(lambda: self._errors, child.stderr)
            await open_channel(ours, self._channel)
            self._greet()
            await self._closed.wait()
        finally:
            self.serving = False
            await self._bury(child)
        return self.ended

    def _greet(self) -> None:
        """Say the first words; whatever changed until now is in them."""
        self._wanted, frames = self._hello()
        for raw in frames:
            self._channel.send_encoded(raw)
        self._greeted = True

    async def _bury(self, child: "subprocess.Popen[bytes]") -> None:
        """Wait for the end of a child whose channel is closed, and for its last audit lines."""
        self._channel.close()
        if not await _within(END_SECONDS, lambda: child.poll() is not None):
            self.kill(Ended.HUNG)
            await _within(END_SECONDS, lambda: child.poll() is not None)
        await _within(END_SECONDS, lambda: self._lines.ended and self._errors.ended)
        self._errors.close()
        self.lost_lines = self._lines.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)

    def give(self, raw: bytes, version: int) -> None:
        """Send encoded keys; it has to acknowledge ``version``."""
        if self._greeted:
            self._wanted = version
            self._channel.send_encoded(raw)

    def decides_by(self, version: int) -> bool:
        """Tell whether this version of the keys decides there, or a later one.

        One that is not greeted yet is given the newest when it is.
        """
        return not self._greeted or self.applied >= version

    def send(self, frame: Frame) -> None:
        """Send an order."""
        if self._greeted:
            self._channel.send(frame)

    def send_encoded(self, raw: bytes) -> None:
        """Send an order that is encoded already."""
        if self._greeted:
            self._channel.send_encoded(raw)

    def beat(self) -> None:
        """Ask for a sign of life; kill it for too many unanswered, or for keys not taken.

        A slow lane that does not move counts as one unanswered.

        Beats are counted, not seconds: where the main process itself stood still, a worker
        is given the time to answer what it was not asked.
        """
        if not self.serving:
            self._start_beats += 1
            if self._start_beats >= MAX_START_BEATS:
                self._give_up("does not come to serve")
            return
        silent = self._answered < self._asked
        stalled = self.numbers.lane_stalled_ms >= LANE_STALL_MS
        behind = silent or stalled or self.applied != self._wanted
        self._behind_beats = self._behind_beats + 1 if behind else 0
        if self._behind_beats >= MAX_BEHIND_BEATS:
            what = "begins none of the signature checks that wait" if stalled else "does not answer"
            self._give_up(what if silent or stalled else "does not take its keys")
        elif self._channel.unsent_bytes > MAX_UNSENT_BYTES:
            self._give_up("does not read")
        else:
            self._ask()

    def ask(self) -> "asyncio.Future[None]":
        """Ask for its numbers; done when they have come, or will not come any more.

        While a question is open nothing further is asked: however often somebody wants to know,
        a worker answers one after the other.
        """
        number = self._asked if self._asked > self._answered else self._ask()
        future = self._waiting.get(number)
        if future is None or future.done():
            future = self._waiting[number] = asyncio.get_running_loop().create_future()
        return future

    def tell_challenges(self, raw: bytes) -> None:
        """Answer its question with an encoded reply: it may ask the next one."""
        self._watch.answered_challenges()
        self.send_encoded(raw)

    def kill(self, why: Ended) -> None:
        """End it now, and the processes of its session with it."""
        self.ended = why
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.kill()

    def _give_up(self, what: str) -> None:
        _log.error("worker %d %s: it is killed", self.number, what)
        self.kill(Ended.HUNG)

    @property
    def exit_code(self) -> int | None:
        """Its exit code; negative for a signal."""
        return self._child.poll() if self._child is not None else None

    def _ask(self) -> int:
        self._asked += 1
        self._channel.send(Ask(self._asked))
        return self._asked

    def _on_frame(self, frame: Up) -> None:
        self._watch.take_frame(frame)
        match frame:
            case Report():
                self._take_report(frame)
            case Applied(version=version):
                self._watch.check_applied(frame, self.applied, self._wanted)
                self.applied = version
            case UnknownKid():
                self._on_unknown_kid()
            case ChallengesRequest():
                self._on_challenges(self, frame)
            case Serving(hardening=hardening):
                self.hardening = hardening
                self.serving = True
                self._on_serving()
            case VersionRefused(message=message):
                self.refusal = message
            case LogLine(level=level, message=message):
                _log.log(level, "worker %d: %s", self.number, message)

    def _take_report(self, report: Report) -> None:
        numbers = report.numbers
        numbers.counters.keep_known(self._routes)
        self._watch.check_applied(report, self.applied, self._wanted)
        self._watch.check_report(report, self._answered, self._asked, self.numbers)
        self._answered = max(self._answered, report.number)
        self.numbers = numbers
        self.applied = report.version
        for asked in [asked for asked in self._waiting if asked <= self._answered]:
            future = self._waiting.pop(asked)
            if not future.done():
                future.set_result(None)

    def _on_error_line(self, line: bytes) -> None:
        """Log what it writes to its standard error, as the words of a worker."""
        self._watch.take_log_line()
        _log.warning("worker %d: %s", self.number, line.decode("utf-8", "backslashreplace"))

    def _on_closed(self, exc: Exception | None) -> None:
        self._closed.set()
        if exc is not None and not isinstance(exc, OSError):
            self._on_breach(exc)

    def _on_breach(self, exc: Exception) -> None:
        """Kill it for what it sent; what is no ``Fault`` is a defect of ours that it found."""
        if not isinstance(exc, Fault):
            self._on_fault(exc)
        if self.ended is not Ended.BROKE_PROTOCOL:
            _log.error("worker %d breaks the protocol: %s: it is killed", self.number, exc)
        self.kill(Ended.BROKE_PROTOCOL)
        self._channel.abort()


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait for a condition that nothing tells us of; False if it does not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def worker_environment(environment: Mapping[str, str], root: str = _ROOT) -> dict[str, str]:
    """Return what a worker gets of our environment, and where our code is.

    Nobody keeps secrets in this process's environment by our advice; if somebody does,
    they go no further. Our own code is looked for where this process has it, and never in the
    working directory; where it is installed, the interpreter knows the folder without us (and
    ``PYTHONPATH`` would put it before the standard library).
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    kept.pop("PYTHONPATH", None)
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        kept["PYTHONPATH"] = root
    return {**kept, "PYTHONSAFEPATH": "1"}
