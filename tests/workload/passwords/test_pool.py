"""What the pool bounds: how many run, how many wait, how long; and who frees a slot."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import until, wait_until
from tests.workload.passwords.attack import LOGINS
from workload.passwords.errors import HashingBusy
from workload.passwords.pool import HashingPool, PoolLoad
from workload.settings import SettingsFault

ROOT = Path(__file__).parents[3]
MODEL_KIB = 65_536


class Gate:
    """Work that lasts until it is let go, and counts how many of it run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = threading.Event()
        self.running = self.most = self.ended = 0

    def __call__(self) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self._open.wait(60)
        with self._lock:
            self.running -= 1
            self.ended += 1
        return "done"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    held = Gate()
    yield held
    held.open()


def load(pool: HashingPool) -> tuple[int, int]:
    return pool.load()[:2]


def nothing() -> str:
    return "done"


async def test_so_many_run_so_many_wait_and_the_rest_are_told_to_try_later(gate: Gate) -> None:
    pool = HashingPool(slots=2, max_waiting=3, wait_seconds=60)
    tasks = [asyncio.create_task(pool.run(gate)) for _ in range(5)]
    await until(lambda: load(pool) == (2, 3) and gate.running == 2)
    with pytest.raises(HashingBusy, match="try again in 60 s") as busy:
        await pool.run(nothing)
    assert (busy.value.retryable, busy.value.retry_after_seconds) == (True, 60)
    with pytest.raises(HashingBusy):
        pool.run_sync(nothing)
    gate.open()
    assert await asyncio.gather(*tasks) == ["done"] * 5
    assert (gate.most, pool.load()) == (2, PoolLoad(0, 0, 2))
    assert await pool.run(nothing) == pool.run_sync(nothing) == "done"


async def test_a_slot_is_free_when_its_outcome_is_there() -> None:
    pool = HashingPool(slots=1, max_waiting=0)
    for _ in range(500):
        assert await pool.run(nothing) == "done"
        assert pool.run_sync(nothing) == "done"


def test_a_slot_is_free_before_its_outcome_is_there(gate: Gate) -> None:
    pool, seen = HashingPool(slots=1, max_waiting=0), list[tuple[int, int]]()
    job = pool._enter(gate)
    job.done.add_done_callback(lambda _: seen.append(load(pool)))
    gate.open()
    wait_until(lambda: seen)
    assert seen == [(0, 0)]


def test_a_thread_that_is_interrupted_while_it_waits_leaves_the_queue(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = HashingPool(slots=1, max_waiting=1)
    pool._enter(gate)
    wait_until(lambda: gate.running)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("concurrent.futures.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.run_sync(nothing)
    assert load(pool) == (1, 0)


async def test_who_waits_too_long_is_told_so_and_leaves_the_queue(gate: Gate) -> None:
    pool = HashingPool(slots=1, max_waiting=2, wait_seconds=0.05)
    running = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.running)
    ran: list[str] = []
    with pytest.raises(HashingBusy, match="too many passwords are waiting"):
        await pool.run(lambda: ran.append("async"))
    with pytest.raises(HashingBusy, match="too many passwords are waiting"):
        await asyncio.to_thread(pool.run_sync, lambda: ran.append("sync"))
    assert load(pool) == (1, 0)
    gate.open()
    assert await running == "done", "what has begun is not cut off by the bound on waiting"
    await until(lambda: load(pool) == (0, 0))
    assert ran == []


async def test_a_caller_that_goes_away_leaves_the_queue_and_frees_no_running_slot(
    gate: Gate,
) -> None:
    pool = HashingPool(slots=1, max_waiting=1, wait_seconds=60)
    running = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.running)
    for _ in range(50):
        waiting = asyncio.create_task(pool.run(nothing))
        await until(lambda: load(pool) == (1, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert load(pool) == (1, 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert load(pool) == (1, 0), "the hash still runs"
    other = asyncio.create_task(pool.run(nothing))
    await until(lambda: load(pool) == (1, 1))
    assert gate.running == 1
    gate.open()
    assert await other == "done"
    assert (gate.ended, load(pool)) == (1, (0, 0))


async def test_a_caller_that_goes_away_after_its_wait_frees_no_running_slot(gate: Gate) -> None:
    pool = HashingPool(slots=1, max_waiting=0, wait_seconds=0.01)
    running = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.running)
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert load(pool) == (1, 0)
    with pytest.raises(HashingBusy):
        await pool.run(nothing)
    gate.open()
    await until(lambda: load(pool) == (0, 0))


def test_an_event_loop_that_ends_takes_no_slot_with_it(gate: Gate) -> None:
    pool = HashingPool(slots=1, max_waiting=1, wait_seconds=60)

    async def leave() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await pool.run(gate)

    asyncio.run(leave())
    assert load(pool) == (1, 0)
    gate.open()
    wait_until(lambda: load(pool) == (0, 0))
    assert pool.run_sync(nothing) == "done"


async def test_what_goes_wrong_goes_to_its_caller_and_frees_the_slot() -> None:
    pool = HashingPool(slots=1, max_waiting=1)

    def fail() -> None:
        raise TimeoutError("of the work itself")

    for _ in range(3):
        with pytest.raises(TimeoutError, match="of the work itself"):
            await pool.run(fail)
        with pytest.raises(TimeoutError, match="of the work itself"):
            pool.run_sync(fail)
    assert load(pool) == (0, 0)


async def test_first_come_first_served(gate: Gate) -> None:
    pool = HashingPool(slots=1, max_waiting=9, wait_seconds=60)
    first = asyncio.create_task(pool.run(gate))
    await until(lambda: gate.running)
    order: list[int] = []
    tasks = []
    for number in range(9):
        tasks.append(asyncio.create_task(pool.run(partial(order.append, number))))
        await until(lambda: load(pool)[1] == len(tasks))
    gate.open()
    await asyncio.gather(first, *tasks)
    assert order == list(range(9))


def test_threads_and_loops_share_the_slots_and_end_when_there_is_nothing_to_do() -> None:
    pool, gate = HashingPool(slots=3, max_waiting=100, wait_seconds=60), Gate()

    async def several() -> list[str]:
        return await asyncio.gather(*(pool.run(gate) for _ in range(10)))

    callers: list[Callable[[], object]] = [lambda: asyncio.run(several())] * 2
    callers += [lambda: pool.run_sync(gate)] * 10
    threads = [threading.Thread(target=each) for each in callers]
    for each in threads:
        each.start()
    wait_until(lambda: load(pool) == (3, 27) and gate.running == 3)
    gate.open()
    for each in threads:
        each.join(60)
    assert (gate.most, gate.ended, load(pool)) == (3, 30, (0, 0))
    wait_until(
        lambda: not [each for each in threading.enumerate() if each.name == "password-hashing"]
    )


def test_without_a_thread_it_is_busy_and_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = HashingPool(slots=1, max_waiting=1)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(5):
            with pytest.raises(HashingBusy, match="no thread"):
                pool.run_sync(nothing)
    assert load(pool) == (0, 0)
    assert pool.run_sync(nothing) == "done"


FORKS = """
import os, threading
from workload.passwords.pool import HashingPool

pool, go = HashingPool(slots=1, max_waiting=0), threading.Event()
begun = threading.Event()
def work():
    begun.set()
    go.wait(60)
threading.Thread(target=pool.run_sync, args=(work,), daemon=True).start()
assert begun.wait(60)
child = os.fork()
if child == 0:
    os._exit(0 if pool.run_sync(lambda: 1) == 1 and pool.load()[:2] == (0, 0) else 1)
assert os.waitpid(child, 0)[1] == 0
assert pool.load()[:2] == (1, 0)
"""


def test_a_fork_begins_with_an_empty_pool() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("slots", "max_waiting", "wait_seconds", "name"),
    [
        (0, 1, 1.0, "slots"),
        (65, 1, 1.0, "slots"),
        (1, -1, 1.0, "max_waiting"),
        (1, 10_001, 1.0, "max_waiting"),
        (1, 1, 0.0, "wait_seconds"),
        (1, 1, 61.0, "wait_seconds"),
        (1, 1, float("nan"), "wait_seconds"),
    ],
)
def test_every_bound_has_bounds(
    slots: int, max_waiting: int, wait_seconds: float, name: str
) -> None:
    with pytest.raises(SettingsFault, match=name):
        HashingPool(slots, max_waiting, wait_seconds)


@pytest.mark.quiet
@pytest.mark.parametrize("slots", [1, 2])
def test_two_hundred_logins_at_once_take_the_memory_of_the_slots(slots: int) -> None:
    """With the model's parameters, in a process of its own, of which callers hang up."""
    command = [sys.executable, "-m", "tests.workload.passwords.attack", str(slots)]
    done = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    more = (slots - 1) * MODEL_KIB  # one hash was made before the peak was read
    assert seen["grew_kib"] < more + 16_384, seen
    load = seen["load"]
    assert 1 <= load["running"] <= slots
    assert load["waiting"] <= 100
    assert load["turned_away"] >= 60
    busy = {what: count for what, count in seen["outcomes"].items() if "try again in 1 s" in what}
    assert set(seen["outcomes"]) <= {"refused", "gone", *busy}
    assert sum(seen["outcomes"].values()) == LOGINS
    assert sum(busy.values()) >= 60
