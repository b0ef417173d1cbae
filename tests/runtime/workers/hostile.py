"""The program of a worker that was taken over: honest until the sidecar is ready, then hostile.

``python -m tests.runtime.workers.hostile KIND…``: the worker of slot n does what the n-th kind
says; ``honest`` does nothing. It keeps the channel full and never waits to be asked.
"""

import asyncio
import math
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import sidecar.runtime.workers.main as program
from sidecar.limits.buckets import SpendReport
from sidecar.limits.sharing import MAX_REPORTS
from sidecar.runtime.hardening.process import Hardening
from sidecar.runtime.workers.frames import (
    MAX_TEXT,
    Applied,
    ChallengesRequest,
    LogLine,
    Report,
    Serving,
    UnknownKid,
    VersionRefused,
)
from sidecar.runtime.workers.framing import Frame, encode
from sidecar.runtime.workers.limit_frames import LimitsUsed
from sidecar.runtime.workers.stats import WorkerStats
from tests.runtime.workers.lines import LINE, line

Attack = Callable[["program.Worker"], Awaitable[None]]
_PENDING_BYTES = 262_144


def flood(make: Callable[[int], Frame]) -> Attack:
    """Send frames without end."""

    async def attack(worker: program.Worker) -> None:
        number = 0
        while True:
            while worker._channel.unsent_bytes < _PENDING_BYTES:
                number += 1
                worker._channel.send(make(number))
            await asyncio.sleep(0)

    return attack


def once(raw: bytes) -> Attack:
    """Send some bytes."""

    async def attack(worker: program.Worker) -> None:
        worker._channel.send_encoded(raw)

    return attack


def lie(change: Callable[[WorkerStats], None]) -> Attack:
    """Answer what is asked with other numbers."""

    async def attack(worker: program.Worker) -> None:
        real = worker._report

        def report(number: int) -> Report:
            reply = real(number)
            change(reply.stats)
            return reply

        worker._counters.faults += 10
        await asyncio.sleep(0.6)  # a true report goes out in between
        worker._report = report  # type: ignore[method-assign]

    return attack


def write(descriptor: int, piece: bytes) -> Attack:
    """Write to standard output or error without end, from a thread that may wait."""

    async def attack(_worker: program.Worker) -> None:
        def run() -> None:
            while True:
                os.write(descriptor, piece)

        threading.Thread(target=run, daemon=True).start()

    return attack


async def leave_a_child(worker: program.Worker) -> None:
    """Start another process, and break the protocol."""
    child = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - it returns at once
    worker._channel.send(LogLine(40, f"its child is {child.pid}"))
    worker._channel.send_encoded(b"\xff" * 8)


async def say_last_words(worker: program.Worker) -> None:
    """Report unasked, truly, and again."""
    while True:
        worker._channel.send(worker._report(0))
        await asyncio.sleep(0)


async def hold_the_lane(worker: program.Worker) -> None:
    """Stop taking turns, as a lane that a defect has ended would."""
    lane = worker._check.lane  # type: ignore[union-attr]
    lane._busy = True
    lane._waiting.append((bytes, asyncio.get_running_loop().create_future()))
    lane._moved_at -= 60


def _set(name: str, value: object) -> Callable[[WorkerStats], None]:
    return lambda stats: setattr(stats, name, value)


def _shrink(stats: WorkerStats) -> None:
    stats.counters.faults = 1


def _many_checks(stats: WorkerStats) -> None:
    stats.counters.checks["allow", "public", "api"] = 2**52


def _long_checks(stats: WorkerStats) -> None:
    stats.counters.latency.sum_us = 2**52


ATTACKS: dict[str, Attack] = {
    "serves again": flood(lambda _: Serving("127.0.0.1:1")),
    "refuses": flood(lambda _: VersionRefused("x" * MAX_TEXT)),
    "unknown kids": flood(lambda _: UnknownKid()),
    "log lines": flood(lambda n: LogLine(40, f"{n} " + "x" * 4000)),
    "keys taken": flood(lambda _: Applied(1)),
    "keys never given": once(encode(Applied(999))),
    "keys of the past": once(encode(Applied(0))),
    "reports unasked": flood(lambda n: Report(n + 1000, 1, WorkerStats())),
    "last words": say_last_words,
    "questions": flood(lambda n: ChallengesRequest(n, tuple(f"{n}-{i:060}" for i in range(1024)))),
    "limits without end": flood(
        lambda n: LimitsUsed(
            0, tuple(SpendReport(f"address|{n}-{i}", 1, 0) for i in range(MAX_REPORTS))
        )
    ),
    "limits of too many keys": once(
        encode(LimitsUsed(0, (SpendReport("tenant|a", 1, 0),) * (MAX_REPORTS + 1)))
    ),
    "a frame too large": once(b"\x7f\xff\xff\xff"),
    "garbage": once(b"\0\0\0\4\xff\xff\xff\xff"),
    "a level of its own": once(encode(LogLine(41, "x"))),  # type: ignore[arg-type]
    "counts that shrink": lie(_shrink),
    "negative counts": lie(_set("hits", -5)),
    "counts too large for a double": lie(_set("evicted", 2**60)),
    "Checks that nobody could answer": lie(_many_checks),
    "Checks that take years": lie(_long_checks),
    "CPU time that is no number": lie(_set("cpu_seconds", math.nan)),
    "CPU time without end": lie(_set("cpu_seconds", math.inf)),
    "CPU time that there was not": lie(_set("cpu_seconds", 1e12)),
    "audit lines of a megabyte": write(1, b"{" + b"x" * 1_048_576 + b"}\n"),
    "an audit line that never ends": write(1, b"x" * 65_536),
    "empty audit lines": write(1, b"\n" * 65_536),
    "no audit lines": write(1, b"hello\n" * 10_000),
    "audit lines that are no JSON": write(1, b"{x}\n"),
    "audit lines": write(1, line(padding=60_000)),
    "small audit lines": write(1, LINE * 20_000),
    "errors": write(2, b"Traceback\n" * 6_000),
    "an error that never ends": write(2, b"x" * 65_536),
    "a lane that stands": hold_the_lane,
    "a child": leave_a_child,
}


async def _attack_when_ready(worker: program.Worker, attack: Attack) -> None:
    while not worker._ready:
        await asyncio.sleep(0.02)
    await attack(worker)


def main(kinds: list[str]) -> int:
    """Run a worker that turns hostile."""
    real = program.Worker._serve
    if "a child" in kinds:  # as on a kernel that confines nobody
        vars(program)["confine_worker"] = lambda: Hardening((), ())

    async def serve(self: program.Worker) -> int:
        kind = kinds[self._start.number]  # type: ignore[union-attr]
        if kind == "honest":
            return await real(self)
        task = asyncio.create_task(_attack_when_ready(self, ATTACKS[kind]))
        try:
            return await real(self)
        finally:
            task.cancel()

    program.Worker._serve = serve  # type: ignore[method-assign]
    return program.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
