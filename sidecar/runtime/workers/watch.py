"""What a worker may send: a worker that was taken over costs its own Checks, and nobody else's.

A worker parses what strangers send, so the main process does not rely on it. Every frame, every
audit line and every line of its standard error passes here first. What no worker of ours sends
is a breach: it raises ``FrameFault``, and the worker is killed and started anew, with pauses
that grow. The bounds are several times what a busy worker comes to.
"""

from collections.abc import Callable, Iterator
from math import isfinite

from sidecar.common.token_bucket import TokenBucket
from sidecar.runtime.workers.frames import (
    Applied,
    ChallengesRequest,
    FrameFault,
    LogLine,
    Report,
    Serving,
    Up,
    VersionRefused,
)
from sidecar.runtime.workers.stats import WorkerStats

FRAMES_PER_SECOND, FRAMES_BURST = 500.0, 2000.0
BYTES_PER_SECOND, BYTES_BURST = 4_194_304.0, 33_554_432.0
LOG_LINES_PER_SECOND, LOG_LINES_BURST = 20.0, 200.0
CHECKS_PER_SECOND = 1_000_000.0
"""More than ten times what a worker can answer: a count that grows faster is made up."""
CHECK_MICROSECONDS = 600_000_000
"""No Check takes longer than ten minutes."""
CPUS = 64


class WorkerWatch:
    """Judges what one worker process sends; ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        now = clock()
        self._clock = clock
        self._started_at = now
        self._frames = TokenBucket(FRAMES_PER_SECOND, FRAMES_BURST, now)
        self._bytes = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, now)
        self._lines = TokenBucket(LOG_LINES_PER_SECOND, LOG_LINES_BURST, now)
        self._seen: set[type] = set()
        self._last_word = False
        self._asks_open = False

    def take_bytes(self, count: int) -> None:
        """Let so many bytes of frames pass; raises ``FrameFault``."""
        if not self._bytes.take(self._clock(), count):
            raise FrameFault("it sends too many bytes")

    def take_log_line(self) -> None:
        """Let a line for the log pass; raises ``FrameFault``."""
        if not self._lines.take(self._clock()):
            raise FrameFault("it sends too many lines for the log")

    def take_frame(self, frame: Up) -> None:
        """Let a frame pass, whatever it says; raises ``FrameFault``."""
        if not self._frames.take(self._clock()):
            raise FrameFault("it sends too many frames")
        match frame:
            case Serving() | VersionRefused():
                # Each is said once, and of the two one.
                if self._seen & {Serving, VersionRefused}:
                    raise FrameFault("it says again whether it serves")
                self._seen.add(type(frame))
            case LogLine():
                self.take_log_line()
            case ChallengesRequest():
                if self._asks_open:
                    raise FrameFault("it asks for challenges before it was answered")
                self._asks_open = True

    def answered_challenges(self) -> None:
        """Take note that its question was answered: it may ask the next."""
        self._asks_open = False

    def check_applied(self, frame: Applied | Report, applied: int, wanted: int) -> None:
        """Hold the version of the keys that it names against what it was given."""
        if not applied <= frame.version <= wanted:
            raise FrameFault(f"it has keys of version {frame.version}, which it was not given")

    def check_report(self, report: Report, answered: int, asked: int, before: WorkerStats) -> None:
        """Hold a report against what was asked for, and its counts against those before."""
        if report.number == 0:
            if self._last_word:
                raise FrameFault("it says its last word again")
            self._last_word = True
        elif not answered < report.number <= asked:
            raise FrameFault("it answers what it was not asked")
        problem = misreport(before, report.numbers, self._clock() - self._started_at)
        if problem:
            raise FrameFault(f"its counts can't be: {problem}")


def misreport(before: WorkerStats, after: WorkerStats, age_seconds: float) -> str:
    """Return what is impossible about the counts of a worker of this age; empty for nothing.

    Counts only grow, and no faster than Checks can be answered.
    """
    return next(_problems(before, after, age_seconds), "")


def _problems(before: WorkerStats, after: WorkerStats, age_seconds: float) -> Iterator[str]:
    if not isfinite(after.cpu_seconds) or after.cpu_seconds > CPUS * (age_seconds + 60):
        yield "more CPU time than there was"
    if after.cpu_seconds < before.cpu_seconds:
        yield "CPU time shrinks"
    yield from _shrunken(before, after)
    *counts, latency_us = _scalars(after)
    timed = sum(after.counters.latency.counts)
    most = CHECKS_PER_SECOND * (age_seconds + 1)
    if max(sum(after.counters.checks.values()), timed, *counts) > most:
        yield "more than can be answered in its time"
    if latency_us > CHECK_MICROSECONDS * timed:
        yield "Checks take longer than they may"


def _shrunken(before: WorkerStats, after: WorkerStats) -> Iterator[str]:
    for name, old, new in zip(_NAMES, _scalars(before), _scalars(after), strict=True):
        if new < old:
            yield f"{name} shrink"
    for key, count in before.counters.checks.items():
        if after.counters.checks.get(key, 0) < count:
            yield "Checks shrink"
    buckets = zip(before.counters.latency.counts, after.counters.latency.counts, strict=True)
    if any(new < old for old, new in buckets):
        yield "a bucket of latencies shrinks"


_NAMES = ("hits", "misses", "evictions", "dropped audit lines", "warnings", "faults", "latencies")


def _scalars(numbers: WorkerStats) -> tuple[int, ...]:
    counters = numbers.counters
    return (
        numbers.hits,
        numbers.misses,
        numbers.evicted,
        numbers.audit_dropped,
        counters.pii_warnings,
        counters.faults,
        counters.latency.sum_us,
    )
