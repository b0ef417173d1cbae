"""A worker that was taken over costs its own Checks and nobody else's, whatever it sends.

Real worker processes whose program turns hostile (``hostile.py``), several kinds in one
pool and an honest worker beside them. For every kind: it is killed for that, the main process
keeps its memory, its loop goes on turning, its log stays readable, its totals only grow, and
the honest worker answers.
"""

import asyncio
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.authz.acme_challenge import PendingChallenge
from sidecar.common.clock import monotonic_seconds
from sidecar.observability.audit import AuditLog, DescriptorSink
from sidecar.runtime.workers import liveness, restarts
from sidecar.runtime.workers import pool as pool_module
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.process import Ended
from sidecar.runtime.workers.watch import WorkerWatch
from tests.runtime.workers.harness import resident_mb
from tests.runtime.workers.pooled import Pool, good
from tests.support.minting import Issuer
from tests.support.waiting import until
from workload.backoff import Backoff

MAX_GROWTH_MB = 96
MAX_GAP_SECONDS = 1.5
"""Far above what the machine's load makes of it, far below the seconds of a flood."""
MAX_LOG_BYTES = 4_000_000
ROOT = str(Path(__file__).parents[3])


class SlowChallenges:
    """Answers as a fleet's list that takes a while to read."""

    def __init__(self) -> None:
        self.open = self.most = 0

    async def find_all(self, _tokens: object) -> Mapping[str, PendingChallenge]:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.2)
        self.open -= 1
        return {}


class Watcher:
    """What may not happen to the main process: a loop that stands, memory, totals that shrink."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._before_mb = resident_mb(os.getpid())
        self.growth_mb = 0.0
        self.longest_gap = 0.0
        self.shrunk = False

    async def run(self) -> None:
        last, total = monotonic_seconds(), 0
        while True:
            await asyncio.sleep(0.01)
            now = monotonic_seconds()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            self.growth_mb = max(self.growth_mb, resident_mb(os.getpid()) - self._before_mb)
            stats = self._pool.pool.stats()
            count = stats.counters.faults + stats.hits + sum(stats.counters.checks.values())
            self.shrunk |= count < total
            total = count


@asynccontextmanager
async def attacked(
    kinds: Sequence[str], issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Pool, Watcher]]:
    """A pool of such workers, of which the last is honest; hostile from the moment it is given."""
    monkeypatch.setattr(pool_module, "HEARTBEAT_SECONDS", 0.25)
    monkeypatch.setattr(restarts, "RESTARTS", Backoff(2.0, 10.0))
    monkeypatch.setattr(liveness, "MAX_START_HEARTBEATS", 400)
    # The program is of the tests, which are not installed.
    program = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from tests.runtime.workers.hostile import main;"
    )
    run = f"{program} sys.exit(main({[*kinds, 'honest']!r}))"
    pool = Pool(command=(sys.executable, "-c", run), workers=len(kinds) + 1)
    pool.pool.challenges.source = SlowChallenges()
    pool.publish(issuer.ring)
    await pool.pool.start()
    watcher = Watcher(pool)
    watching = asyncio.create_task(watcher.run())
    pool.pool.broadcast.set_ready(ready=True)
    try:
        yield pool, watcher
    finally:
        watching.cancel()
        await pool.pool.stop()


GROUPS: list[dict[str, str]] = [
    {
        "serves again": "reports more than once whether it serves",
        "refuses": "reports more than once whether it serves",
        "unknown kids": "too many frames",
        "log lines": "too many lines for the log",
        "keys taken": "too many frames",
        "keys never given": "keys of version 999, which it was not sent",
    },
    {
        "keys of the past": "keys of version 0, which it was not sent",
        "reports unasked": "sends a report that was not requested",
        "last words": "sends a second final report",
        "questions": "requests challenges before the previous reply",
    },
    {
        "a frame too large": "the limit is",
        "garbage": "can't be decoded",
        "a level of its own": "can't be decoded",
        "counts that shrink": "faults decrease",
    },
    {
        "negative counts": "can't be decoded",
        "counts too large for a double": "can't be decoded",
        "Checks that nobody could answer": "more than can be answered",
    },
    {
        "Checks that take years": "Checks take longer",
        "CPU time that is no number": "more CPU time than has passed",
        "CPU time without end": "more CPU time than has passed",
    },
    {
        "CPU time that there was not": "more CPU time than has passed",
        "audit lines of a megabyte": "its output has a line",
        "an audit line that never ends": "its output has a line",
    },
    {
        "empty audit lines": "no audit line",
        "no audit lines": "no audit line",
        "audit lines that are no JSON": "no audit line",
        "errors": "too many lines for the log",
        "an error that never ends": "too many lines for the log",
    },
]


@pytest.mark.parametrize("kinds", GROUPS, ids=lambda kinds: next(iter(kinds)))
async def test_it_is_killed_and_harms_nobody_else(
    kinds: dict[str, str],
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with attacked(list(kinds), issuer, monkeypatch) as (pool, watcher):
        slots = pool.pool.slots[: len(kinds)]
        token = good(issuer)
        async with asyncio.timeout(60):
            while not all(slot.restarts[Ended.BROKE_PROTOCOL] for slot in slots):
                assert (await pool.ask(len(kinds), token)).allowed
                await asyncio.sleep(0.05)
        assert pool.pool.slots[-1].restarts == dict.fromkeys(Ended, 0)
    said = [record.getMessage() for record in caplog.records]
    for number, (kind, why) in enumerate(kinds.items()):
        start = f"worker {number} violates the protocol: "
        assert any(each.startswith(start) and why in each for each in said), kind
    assert watcher.growth_mb < MAX_GROWTH_MB
    assert watcher.longest_gap < MAX_GAP_SECONDS
    assert not watcher.shrunk
    assert sum(map(len, said)) < MAX_LOG_BYTES
    assert pool.faults == []


async def test_bytes_without_end_are_too_many() -> None:
    """Whole frames that break no other rule: what a report may be, as often as one is asked."""
    now = [0.0]
    watch = WorkerWatch(lambda: now[0])
    for _ in range(32):
        watch.take_bytes(1_048_576)
    with pytest.raises(FrameFault, match="too many bytes"):
        watch.take_bytes(1_048_576)
    now[0] = 1.0
    watch.take_bytes(4_000_000)


async def test_one_whose_lane_stands_is_killed(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with attacked(["a lane that stands"], issuer, monkeypatch) as (pool, _):
        await until(lambda: pool.pool.slots[0].restarts[Ended.HUNG], 30)
        assert "starts none of the queued signature checks" in caplog.text


async def test_what_it_started_ends_with_it(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with attacked(["a child"], issuer, monkeypatch) as (pool, _):
        await until(lambda: pool.pool.slots[0].restarts[Ended.BROKE_PROTOCOL], 30)
        found = re.search(r"its child is (\d+)", caplog.text)
        assert found is not None
        status = Path(f"/proc/{found[1]}/status")
        await until(lambda: not status.exists() or "State:\tZ" in status.read_text(), 10)


async def test_audit_lines_that_look_right_take_their_own_part_of_the_queue(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads the sink, so the queue is full for ever: of the two that fill it."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    queue_bytes = 8_388_608
    errors: list[OSError] = []
    log = AuditLog(
        DescriptorSink(writing), queue_lines=4096, queue_bytes=queue_bytes, on_error=errors.append
    )
    monkeypatch.setattr(Pool, "make_queue", lambda _self: log)
    kinds = ["audit lines", "small audit lines"]
    async with attacked(kinds, issuer, monkeypatch) as (pool, watcher):
        token = good(issuer)
        await asyncio.sleep(2.0)
        for _ in range(10):
            assert (await pool.ask(len(kinds), token)).allowed
        seen = b""

        def read_on() -> bool:
            nonlocal seen
            for _ in range(500):
                try:
                    seen = (seen + os.read(reading, 65_536))[-200_000:]
                except BlockingIOError:
                    return False
                if b"token_verified" in seen:
                    return True
            return False

        assert watcher.growth_mb < MAX_GROWTH_MB
        assert watcher.longest_gap < MAX_GAP_SECONDS
        await until(read_on, 60)
        assert pool.pool.slots[-1].stats().audit_dropped == 0
    assert not errors
    os.close(reading)  # what still waits is cut short
    log.close(0.1)
