"""What no correct worker sends, on a clock that the test sets."""

import math
from collections.abc import Callable

import pytest

from sidecar.runtime.workers.frames import (
    Applied,
    ChallengesRequest,
    FromWorker,
    LogLine,
    Report,
    Serving,
    UnknownKid,
    VersionRefused,
)
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.limit_frames import LimitsUsed
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.runtime.workers.watch import (
    BYTES_BURST,
    CHECK_MICROSECONDS,
    CHECKS_PER_SECOND,
    CPUS,
    FRAMES_BURST,
    FRAMES_PER_SECOND,
    LIMITS_BURST,
    LOG_LINES_BURST,
    WorkerWatch,
    misreport,
)

Change = Callable[[WorkerStats], object]


class Watched:
    """A watch and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.watch = WorkerWatch(lambda: self.now)


@pytest.mark.parametrize(
    ("send", "burst", "message"),
    [
        (lambda watch: watch.take_frame(UnknownKid()), FRAMES_BURST, "too many frames"),
        (lambda watch: watch.take_log_line(), LOG_LINES_BURST, "too many lines"),
        (lambda watch: watch.take_frame(LimitsUsed(0, ())), LIMITS_BURST, "spent too often"),
        (lambda watch: watch.take_frame(LogLine(40, "x")), LOG_LINES_BURST, "too many lines"),
        (lambda watch: watch.take_bytes(int(BYTES_BURST / 4)), 4, "too many bytes"),
    ],
)
def test_rates_have_a_bound(
    send: Callable[[WorkerWatch], None], burst: float, message: str
) -> None:
    watched = Watched()
    for _ in range(int(burst)):
        send(watched.watch)
    with pytest.raises(FrameFault, match=message):
        send(watched.watch)
    watched.now += 30
    send(watched.watch)


def test_frames_are_permitted_again_as_time_passes() -> None:
    watched = Watched()
    for _ in range(int(FRAMES_BURST)):
        watched.watch.take_frame(UnknownKid())
    watched.now += 2 / FRAMES_PER_SECOND
    for _ in range(2):
        watched.watch.take_frame(UnknownKid())
    with pytest.raises(FrameFault):
        watched.watch.take_frame(UnknownKid())


@pytest.mark.parametrize("second", [Serving("127.0.0.1:1"), VersionRefused("no")])
@pytest.mark.parametrize("first", [Serving("127.0.0.1:1"), VersionRefused("no")])
def test_it_says_once_whether_it_serves(first: FromWorker, second: FromWorker) -> None:
    watched = Watched()
    watched.watch.take_frame(first)
    with pytest.raises(FrameFault, match="more than once whether it serves"):
        watched.watch.take_frame(second)


def test_one_challenge_request_is_open_at_a_time() -> None:
    watch = Watched().watch
    for number in (1, 2):
        watch.take_frame(ChallengesRequest(number, ("token",)))
        watch.answered_challenges()
    watch.take_frame(ChallengesRequest(3, ("token",)))
    with pytest.raises(FrameFault, match="before the previous reply"):
        watch.take_frame(ChallengesRequest(4, ("token",)))


@pytest.mark.parametrize(("version", "valid"), [(2, False), (3, True), (5, True), (6, False)])
def test_it_applies_only_what_it_was_sent_and_never_older_keys(version: int, valid: bool) -> None:
    watch = Watched().watch
    for frame in (Applied(version), Report(1, version, WorkerStats())):
        if valid:
            watch.check_applied(frame, applied=3, expected=5)
        else:
            with pytest.raises(FrameFault, match="which it was not sent"):
                watch.check_applied(frame, applied=3, expected=5)


@pytest.mark.parametrize(("number", "valid"), [(4, False), (5, True), (6, True), (7, False)])
def test_it_reports_only_what_was_requested(number: int, valid: bool) -> None:
    watch, report = Watched().watch, Report(number, 1, WorkerStats())
    if valid:
        watch.check_report(report, 4, 6, WorkerStats())
    else:
        with pytest.raises(FrameFault, match="not requested"):
            watch.check_report(report, 4, 6, WorkerStats())


def test_there_is_one_final_report() -> None:
    watch, final = Watched().watch, Report(0, 1, WorkerStats())
    watch.check_report(final, 0, 0, WorkerStats())
    with pytest.raises(FrameFault, match="second final report"):
        watch.check_report(final, 0, 0, WorkerStats())


def test_impossible_counts_are_a_breach() -> None:
    with pytest.raises(FrameFault, match="its counts are impossible: hits decrease"):
        Watched().watch.check_report(Report(1, 1, WorkerStats()), 0, 1, WorkerStats(hits=1))


AGE_SECONDS = 10.0
MOST = int(CHECKS_PER_SECOND * (AGE_SECONDS + 1))
MOST_CPU = CPUS * (AGE_SECONDS + 60)


def setting(name: str, value: float) -> Change:
    return lambda stats: setattr(stats, name, value)


def timed(count: int, sum_us: int) -> Change:
    def change(stats: WorkerStats) -> None:
        stats.counters.latency.counts[0] = count
        stats.counters.latency.sum_us = sum_us

    return change


def checked(count: int) -> Change:
    return lambda stats: stats.counters.checks.update({("allow", "public", "api"): count})


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (checked(1), checked(1), ""),
        (setting("hits", 1), setting("hits", 2), ""),
        (setting("hits", 2), setting("hits", 1), "hits decrease"),
        (setting("audit_dropped", 2), setting("hits", 1), "dropped audit lines decrease"),
        (checked(2), checked(1), "Checks decrease"),
        (checked(2), setting("hits", 1), "Checks decrease"),
        (timed(2, 0), timed(1, 0), "a latency bucket decreases"),
        (timed(1, 2), timed(1, 1), "latencies decrease"),
        (setting("cpu_seconds", 2), setting("cpu_seconds", 1), "CPU time decreases"),
        (checked(0), setting("cpu_seconds", MOST_CPU), ""),
        (checked(0), setting("cpu_seconds", MOST_CPU + 1), "more CPU time than has passed"),
        (checked(0), setting("cpu_seconds", math.nan), "more CPU time than has passed"),
        (checked(0), setting("cpu_seconds", math.inf), "more CPU time than has passed"),
        (checked(0), checked(MOST), ""),
        (checked(0), checked(MOST + 1), "more than can be answered in that time"),
        (checked(0), setting("hits", MOST + 1), "more than can be answered in that time"),
        (checked(0), timed(MOST + 1, 0), "more than can be answered in that time"),
        (checked(0), timed(1, CHECK_MICROSECONDS), ""),
        (checked(0), timed(0, 1), "Checks take longer than they may"),
    ],
)
def test_counts_only_grow_and_no_faster_than_time(
    before: Change, after: Change, problem: str
) -> None:
    old, new = WorkerStats(), WorkerStats()
    before(old)
    after(new)
    assert misreport(old, new, AGE_SECONDS) == problem


@pytest.mark.parametrize(("number", "fits"), [(2, True), (3, True), (1, False), (4, False)])
def test_it_compiles_only_what_it_was_sent_and_each_once(number: int, fits: bool) -> None:
    watch = Watched().watch
    if fits:
        watch.check_compiled(number, 1, 3)
        return
    with pytest.raises(FrameFault, match="which it was not sent"):
        watch.check_compiled(number, 1, 3)
