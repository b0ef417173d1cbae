"""One worker process, seen from the main one: from its spawn to its end.

It is a fresh interpreter, never a fork of this one: nothing of this process's memory is in
it. What it gets is one end of a socket pair as standard input, a pipe as standard output,
and of the environment only what an interpreter needs.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol, cast

import sidecar
from sidecar.errors import Fault
from sidecar.workers.channel import Channel, open_channel
from sidecar.workers.frames import (
    MAX_TEXT,
    MAX_UP_BYTES,
    Applied,
    Ask,
    Frame,
    FrameReader,
    LogLine,
    Refused,
    Report,
    Serving,
    UnknownKid,
    Up,
    WantedChallenge,
)
from sidecar.workers.numbers import Numbers

MAX_BEHIND_BEATS = 5
MAX_START_BEATS = 30
END_SECONDS = 3.0
"""How long a worker that has closed its channel may take to be gone, output included."""
MAX_UNSENT_BYTES = 134_217_728
MAX_LINE_BYTES = 1_048_576
AUDIT_PAUSE_SECONDS = 0.02
POLL_SECONDS = 0.01
_ROOT = str(Path(sidecar.__path__[0]).parent)
COMMAND = (sys.executable, "-m", "sidecar.worker")
_KEPT_VARIABLES = ("PATH", "LANG", "TZ")
_KEPT_PREFIXES = ("LC_", "LD_", "MALLOC_", "PYTHON")

_log = logging.getLogger("sidecar.workers")


class Ended(StrEnum):
    """Why a worker ended: a label of ``septem_worker_restarts_total``."""

    EXITED = "exited"
    HUNG = "hung"
    BROKE_PROTOCOL = "protocol"


class LineQueue(Protocol):
    """Where audit lines go; ``AuditLog`` is one."""

    def record_lines(self, lines: Sequence[bytes]) -> int:
        """Queue whole lines, as many as there is room for; returns how many."""


class WorkerProcess:
    """The child, its channel, and the pipe of its audit lines.

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
        on_challenge: "Callable[[WorkerProcess, str], None]" = lambda _process, _token: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._routes = routes
        self._command = command
        self.number = number
        self.pid = 0
        self.serving = False
        self.refusal = ""
        self.hardening = ""
        self.applied = 0
        self.numbers = Numbers()
        self.ended = Ended.EXITED
        self._hello = hello
        self._greeted = False
        self._wanted = 0
        self._on_serving = on_serving
        self._on_unknown_kid = on_unknown_kid
        self._on_challenge = on_challenge
        self._lines = _AuditPipe(audit)
        self._channel = Channel(FrameReader(Up, MAX_UP_BYTES), self._on_frame, self._on_closed)
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
            await asyncio.get_running_loop().connect_read_pipe(lambda: self._lines, child.stdout)
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
        await _within(END_SECONDS, lambda: self._lines.ended)
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

    def beat(self) -> None:
        """Ask for a sign of life; kill it for too many unanswered, or for keys not taken.

        Beats are counted, not seconds: where the main process itself stood still, a worker
        is given the time to answer what it was not asked.
        """
        if not self.serving:
            self._start_beats += 1
            if self._start_beats >= MAX_START_BEATS:
                self._give_up("does not come to serve")
            return
        silent = self._answered < self._asked
        behind = silent or self.applied != self._wanted
        self._behind_beats = self._behind_beats + 1 if behind else 0
        if self._behind_beats >= MAX_BEHIND_BEATS:
            self._give_up("does not answer" if silent else "does not take its keys")
        elif self._channel.unsent_bytes > MAX_UNSENT_BYTES:
            self._give_up("does not read")
        else:
            self._ask()

    def ask(self) -> "asyncio.Future[None]":
        """Ask for its numbers; done when they have come, or will not come any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[self._ask()] = future
        return future

    def kill(self, why: Ended) -> None:
        """End it now."""
        self.ended = why
        if self._child is not None and self._child.poll() is None:
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
        match frame:
            case Report(number=number, version=version, numbers=numbers):
                self._answered = max(self._answered, number)
                numbers.tally.keep_known(self._routes)
                self.numbers = numbers
                self.applied = version
                for asked in [asked for asked in self._waiting if asked <= self._answered]:
                    future = self._waiting.pop(asked)
                    if not future.done():
                        future.set_result(None)
            case Applied(version=version):
                self.applied = version
            case UnknownKid():
                self._on_unknown_kid()
            case WantedChallenge(token=token):
                self._on_challenge(self, token)
            case Serving(hardening=hardening):
                self.hardening = hardening
                self.serving = True
                self._on_serving()
            case Refused(message=message):
                self.refusal = message
            case LogLine(level=level, message=message):
                _log.log(level, "worker %d: %s", self.number, message[:MAX_TEXT])

    def _on_closed(self, exc: Exception | None) -> None:
        self._closed.set()
        if isinstance(exc, Fault):
            _log.error("worker %d breaks the protocol: %s", self.number, exc)
            self.kill(Ended.BROKE_PROTOCOL)


class _AuditPipe(asyncio.Protocol):
    """A worker's output: cut into whole lines, which are queued as there is room for them.

    While there is none, nothing more is read: the worker's own queue fills, drops and counts.
    """

    def __init__(self, queue: LineQueue) -> None:
        self.ended = False
        self._queue = queue
        self._rest = b""
        self._whole: list[bytes] = []
        self._transport: asyncio.ReadTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._whole += [line + b"\n" for line in whole]
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
        if not self._hand_on():
            self._transport.pause_reading()
            self._try_later()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended = True

    def close(self) -> int:
        """Close, and return how many lines are lost: those without room, and a torn one."""
        self._transport.close()
        self._hand_on()
        lost, self._whole = len(self._whole) + bool(self._rest), []
        return lost

    def _hand_on(self) -> bool:
        """Queue what there is room for; False while some lines wait."""
        del self._whole[: self._queue.record_lines(self._whole)]
        return not self._whole

    def _try_later(self) -> None:
        asyncio.get_running_loop().call_later(AUDIT_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._transport.is_closing():
            return
        if self._hand_on():
            self._transport.resume_reading()
        else:
            self._try_later()


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
