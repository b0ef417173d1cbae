"""Limits on what a worker may send, so that a compromised worker affects only its own Checks.

A worker parses untrusted input, so the main process does not trust it. Every frame, every audit
line and every line of its standard error is checked here first. Anything that no correct worker
sends is a breach: it raises ``FrameFault``, and the worker is killed and restarted, with growing
pauses. The limits are several times what a busy worker needs.
"""

from collections.abc import Callable, Iterator
from math import isfinite

from sidecar.common.token_bucket import TokenBucket
from sidecar.runtime.workers.frames import (
    Applied,
    ChallengesRequest,
    FromWorker,
    LogLine,
    Report,
    Serving,
    VersionRefused,
)
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.limit_frames import LimitsUsed
from sidecar.runtime.workers.stats import WorkerStats

FRAMES_PER_SECOND, FRAMES_BURST = 500.0, 2000.0
BYTES_PER_SECOND, BYTES_BURST = 4_194_304.0, 33_554_432.0
LIMITS_PER_SECOND, LIMITS_BURST = 20.0, 40.0
"""Reports of rate limits: twice what a worker sends, because each may take milliseconds."""
LOG_LINES_PER_SECOND, LOG_LINES_BURST = 20.0, 200.0
CHECKS_PER_SECOND = 1_000_000.0
"""More than ten times what a worker can answer: a count that grows faster is forged."""
CHECK_MICROSECONDS = 600_000_000
"""No Check takes longer than ten minutes."""
CPUS = 64


class WorkerWatch:
    """Checks what one worker process sends; ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        now = clock()
        self._clock = clock
        self._started_at = now
        self._frames = TokenBucket(FRAMES_PER_SECOND, FRAMES_BURST, now)
        self._bytes = TokenBucket(BYTES_PER_SECOND, BYTES_BURST, now)
        self._limits = TokenBucket(LIMITS_PER_SECOND, LIMITS_BURST, now)
        self._lines = TokenBucket(LOG_LINES_PER_SECOND, LOG_LINES_BURST, now)
        self._seen: set[type] = set()
        self._final_report_seen = False
        self._request_open = False

    def take_bytes(self, count: int) -> None:
        """Accept a number of bytes of frames; raise ``FrameFault`` for too many."""
        if not self._bytes.take(self._clock(), count):
            raise FrameFault("it sends too many bytes")

    def take_log_line(self) -> None:
        """Accept a line for the log; raise ``FrameFault`` for too many."""
        if not self._lines.take(self._clock()):
            raise FrameFault("it sends too many lines for the log")

    def take_frame(self, frame: FromWorker) -> None:
        """Accept a frame, before its content is checked; raise ``FrameFault`` for a violation."""
        if not self._frames.take(self._clock()):
            raise FrameFault("it sends too many frames")
        match frame:
            case Serving() | VersionRefused():
                # A worker sends one of the two, and only once.
                if self._seen & {Serving, VersionRefused}:
                    raise FrameFault("it reports more than once whether it serves")
                self._seen.add(type(frame))
            case LogLine():
                self.take_log_line()
            case LimitsUsed():
                if not self._limits.take(self._clock()):
                    raise FrameFault("it reports what it spent too often")
            case ChallengesRequest():
                if self._request_open:
                    raise FrameFault("it requests challenges before the previous reply")
                self._request_open = True

    def answered_challenges(self) -> None:
        """Record that its request was answered: it may send the next."""
        self._request_open = False

    def check_applied(self, frame: Applied | Report, applied: int, expected: int) -> None:
        """Check that the version of the keys that it names was sent to it."""
        if not applied <= frame.version <= expected:
            raise FrameFault(f"it names keys of version {frame.version}, which it was not sent")

    def check_compiled(self, number: int, before: int, given: int) -> None:
        """Check that it names policies that it was sent, and each once."""
        if not before < number <= given:
            raise FrameFault(f"it has compiled policies {number}, which it was not sent")

    def check_report(self, report: Report, answered: int, asked: int, before: WorkerStats) -> None:
        """Check a report against the requests, and its counts against the previous ones."""
        if report.number == 0:
            if self._final_report_seen:
                raise FrameFault("it sends a second final report")
            self._final_report_seen = True
        elif not answered < report.number <= asked:
            raise FrameFault("it sends a report that was not requested")
        problem = misreport(before, report.stats, self._clock() - self._started_at)
        if problem:
            raise FrameFault(f"its counts are impossible: {problem}")


def misreport(before: WorkerStats, after: WorkerStats, age_seconds: float) -> str:
    """Return what is impossible in the counts of a worker of this age; empty for nothing.

    Counts only grow, and no faster than Checks can be answered.
    """
    return next(_problems(before, after, age_seconds), "")


def _problems(before: WorkerStats, after: WorkerStats, age_seconds: float) -> Iterator[str]:
    if not isfinite(after.cpu_seconds) or after.cpu_seconds > CPUS * (age_seconds + 60):
        yield "more CPU time than has passed"
    if after.cpu_seconds < before.cpu_seconds:
        yield "CPU time decreases"
    yield from _shrunken(before, after)
    *counts, latency_us = _scalars(after)
    timed = sum(after.counters.latency.counts)
    most = CHECKS_PER_SECOND * (age_seconds + 1)
    limited = sum(after.counters.limited.values())
    if max(sum(after.counters.checks.values()), limited, timed, *counts) > most:
        yield "more than can be answered in that time"
    if latency_us > CHECK_MICROSECONDS * timed:
        yield "Checks take longer than they may"


def _shrunken(before: WorkerStats, after: WorkerStats) -> Iterator[str]:
    for name, old, new in zip(_NAMES, _scalars(before), _scalars(after), strict=True):
        if new < old:
            yield f"{name} decrease"
    for key, count in before.counters.checks.items():
        if after.counters.checks.get(key, 0) < count:
            yield "Checks decrease"
    for limited, count in before.counters.limited.items():
        if after.counters.limited.get(limited, 0) < count:
            yield "requests over a limit decrease"
    buckets = zip(before.counters.latency.counts, after.counters.latency.counts, strict=True)
    if any(new < old for old, new in buckets):
        yield "a latency bucket decreases"


_NAMES = ("hits", "misses", "evictions", "dropped audit lines", "warnings", "faults", "latencies")


def _scalars(stats: WorkerStats) -> tuple[int, ...]:
    counters = stats.counters
    return (
        stats.hits,
        stats.misses,
        stats.evicted,
        stats.audit_dropped,
        counters.pii_warnings,
        counters.faults,
        counters.latency.sum_us,
    )
