"""Real worker processes, supervised."""

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import grpc
import pytest

from demo.process import free_run
from sidecar.runtime.workers import pool as pool_module
from sidecar.runtime.workers import restarts
from sidecar.runtime.workers.broadcast import WorkerFault
from sidecar.runtime.workers.process import Ended, WorkerProcess
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import check_request
from tests.runtime.workers.harness import children
from tests.runtime.workers.pooled import WORKERS, Pool, good
from tests.support.minting import Issuer
from tests.support.waiting import until
from workload.backoff import Backoff


async def test_each_answers_on_its_own_endpoint(pool: Pool, issuer: Issuer) -> None:
    for number in range(WORKERS):
        answer = await pool.ask(number, good(issuer))
        assert answer.allowed
        assert answer.set_headers["x-user-id"] == "user-42"
    assert pool.said[-1] == (WORKERS, WORKERS)
    await pool.pool.refresh_stats()
    for slot in pool.pool.slots:
        assert slot.stats().counters.checks == {("allow", "token_verified", "api"): 1}
        assert slot.stats().cache_entries == 1
    assert len(pool.pool.stats()) == WORKERS


async def test_stopped_while_it_starts_it_is_gone_at_once(
    issuer: Issuer, earlier: set[int]
) -> None:
    running = Pool()
    running.publish(issuer.ring)
    starting = asyncio.ensure_future(running.pool.start())
    while not running.pid(0):
        await asyncio.sleep(0)
    await running.pool.stop()
    assert set(children(os.getpid())) <= earlier
    starting.cancel()
    assert running.said[-1] == (0, WORKERS)
    assert all(slot.restarts[Ended.HUNG] == 0 for slot in running.pool.slots)


async def test_one_that_is_killed_comes_back_and_its_counts_stay(
    pool: Pool, issuer: Issuer
) -> None:
    for _ in range(3):
        await pool.ask(0, good(issuer))
    await pool.pool.refresh_stats()
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.said[-1] == (1, WORKERS))
    slot = pool.pool.slots[0]
    assert sum(slot.stats().counters.checks.values()) == 3
    assert slot.stats().resident_bytes == 0
    await until(lambda: pool.pool.serving == WORKERS)
    assert pool.pid(0) != pid
    await pool.ask(0, good(issuer))
    await pool.pool.refresh_stats()
    assert sum(slot.stats().counters.checks.values()) == 4
    assert slot.restarts == {**dict.fromkeys(Ended, 0), Ended.EXITED: 1}
    assert [(each.ended, each.why) for each in slot.ends] == [
        (Ended.EXITED, "it ended with exit code -9")
    ]


async def test_a_hung_worker_is_killed_and_the_others_report_meanwhile(pool: Pool) -> None:
    os.kill(pid := pool.pid(1), signal.SIGSTOP)
    async with asyncio.timeout(1.0):
        await pool.pool.refresh_stats()  # bounded: it does not wait for the one that hangs
    await until(lambda: pool.pid(1) not in {0, pid} and pool.pool.serving == WORKERS)
    assert pool.pool.slots[1].restarts[Ended.HUNG] == 1


async def test_a_main_process_that_was_frozen_kills_no_worker(pool: Pool) -> None:
    pids = [pool.pid(number) for number in range(WORKERS)]
    time.sleep(2.0)  # noqa: ASYNC251 - eight heartbeats that nobody could send or hear
    await asyncio.sleep(0.6)
    assert [pool.pid(number) for number in range(WORKERS)] == pids
    assert pool.pool.serving == WORKERS


async def test_unix_sockets_are_numbered_and_for_owner_and_group(
    tmp_path: Path, issuer: Issuer
) -> None:
    umask = os.umask(0o117)
    try:
        running = Pool(f"unix:{tmp_path}/authz.sock")
        running.publish(issuer.ring)
        await running.pool.start()
    finally:
        os.umask(umask)
    for number in range(WORKERS):
        assert stat.S_IMODE((tmp_path / f"authz-{number}.sock").stat().st_mode) == 0o660
        assert (await running.ask(number, good(issuer))).allowed
    successors = tmp_path / "authz-1.sock"
    with socket.socket(socket.AF_UNIX) as successor:
        successors.unlink()
        successor.bind(str(successors))
        await running.pool.stop()
    left = list(tmp_path.iterdir())
    assert left == [successors], "workers may not remove theirs, so the pool does; and no others"


async def test_a_defect_of_the_pool_is_reported_and_it_continues(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "RESTARTS", Backoff(1.0, 0.01, growth=None))  # type: ignore[arg-type]
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.pid(0) not in {0, pid} and pool.pool.serving == WORKERS)
    assert isinstance(pool.faults.pop(), TypeError)


CALLBACKS = {
    "on_change": lambda pool: setattr(pool.pool, "_on_change", _boom),
    "on_unknown_kid": lambda pool: setattr(pool.pool, "on_unknown_kid", _boom),
    "a beat": lambda pool: setattr(pool.pool.slots[1].process, "heartbeat", _boom),
}


def _boom(*_: object) -> None:
    raise ValueError("a defect of whoever is called")


@pytest.mark.parametrize("name", CALLBACKS)
async def test_what_a_callback_raises_stops_no_supervisor(
    pool: Pool, issuer: Issuer, name: str
) -> None:
    CALLBACKS[name](pool)
    await pool.ask(0, good(Issuer.generate("key-9")))
    os.kill(pid := pool.pid(0), signal.SIGKILL)
    await until(lambda: pool.faults and pool.pid(0) not in {0, pid})
    await until(lambda: pool.pool.serving == WORKERS)
    assert (await pool.ask(0, good(issuer))).allowed
    assert {type(each) for each in pool.faults} == {ValueError}
    mend(pool)
    pool.faults.clear()


def mend(pool: Pool) -> None:
    pool.pool._on_change = lambda n, of: pool.said.append((n, of))
    pool.pool.on_unknown_kid = pool.count_unknown
    for slot in pool.pool.slots:
        vars(slot.process).pop("heartbeat", None)


async def test_audit_lines_come_whole_and_all(pool: Pool, issuer: Issuer) -> None:
    for number in range(WORKERS):
        for _ in range(5):
            await pool.ask(number, good(issuer))
    await pool.pool.stop()
    lines = [json.loads(line) for line in pool.lines.taken]
    assert len({line["decision_id"] for line in lines}) == len(lines) == 10
    assert pool.pool.stats().audit_dropped == 0


async def test_a_port_that_is_taken_makes_the_start_impossible(
    issuer: Issuer, earlier: set[int]
) -> None:
    first = free_run(WORKERS)
    running = Pool(f"127.0.0.1:{first}")
    running.publish(issuer.ring)
    with socket.create_server(("127.0.0.1", first + 1)):
        with pytest.raises(WorkerFault, match=f"worker 1: cannot listen on 127.0.0.1:{first + 1}"):
            await running.pool.start()
        await running.pool.stop()
    assert set(children(os.getpid())) <= earlier


async def test_a_program_that_is_no_worker_makes_the_start_impossible(issuer: Issuer) -> None:
    for command, said in (
        ((sys.executable, "-c", "raise SystemExit(3)"), "it ended with exit code 3"),
        (("/nonexistent/python",), "its program can't be started: No such file"),
    ):
        running = Pool(command=command)
        running.publish(issuer.ring)
        with pytest.raises(WorkerFault, match=said):
            await running.pool.start()
        await running.pool.stop()


async def test_a_sink_that_stalls_makes_the_workers_own_queue_drop_and_count(
    issuer: Issuer,
) -> None:
    """The pipe holds some, the queue 16 lines; the Checks never wait."""
    running = Pool(queue_lines=16)
    running.publish(issuer.ring)
    await running.pool.start()
    running.lines.room = 0
    raw = check_request(path="/api/" + "x" * 200)
    async with grpc.aio.insecure_channel(running.addresses[0]) as channel:
        check = channel.unary_unary(CHECK_METHOD)
        for _ in range(12):
            await asyncio.gather(*(check(raw, timeout=5) for _ in range(100)))
    await running.pool.refresh_stats()
    await until(lambda: running.pool.stats().audit_dropped > 0)
    running.lines.room = 1_000_000
    await running.pool.stop()
    dropped = running.pool.stats().audit_dropped
    assert len(running.lines.taken) + dropped == 1200
    assert all(json.loads(line)["outcome"] == "deny" for line in running.lines.taken)


async def test_one_that_breaks_the_protocol_is_killed(issuer: Issuer) -> None:
    babble = "import socket, time; socket.socket(fileno=0).send(b'\\xff' * 8); time.sleep(60)"
    running = Pool(command=(sys.executable, "-c", babble))
    running.publish(issuer.ring)
    with pytest.raises(WorkerFault, match="it violated the protocol, and was killed"):
        await running.pool.start()
    assert sum(slot.restarts[Ended.BROKE_PROTOCOL] for slot in running.pool.slots) >= 1
    await running.pool.stop()


async def test_one_that_an_operator_drains_answers_what_it_has_and_is_started_again(
    pool: Pool, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    pid, slot = pool.pid(0), pool.pool.slots[0]
    assert (await pool.ask(0, good(issuer))).allowed
    assert "has answered what it had" in await pool.pool.drain_one(0)
    assert [each.ended for each in slot.ends] == [Ended.ASKED]
    assert slot.restarts == {**dict.fromkeys(Ended, 0), Ended.ASKED: 1}
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    await until(lambda: pool.pool.serving == WORKERS)
    assert pool.pid(0) != pid
    assert (await pool.ask(0, good(issuer))).allowed


async def test_the_only_one_that_serves_is_not_drained(pool: Pool) -> None:
    os.kill(pool.pid(1), signal.SIGKILL)
    await until(lambda: pool.pool.serving == 1)
    with pytest.raises(WorkerFault, match="the only one that answers Checks"):
        await pool.pool.drain_one(0)
    with pytest.raises(WorkerFault, match="does not serve now"):
        await pool.pool.drain_one(1)


async def test_one_that_does_not_end_in_its_drain_time_is_killed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerProcess, "drain", lambda _self: None)
    monkeypatch.setattr(pool.pool, "_drain_seconds", -pool_module.END_SECONDS + 0.1)
    assert "killed" in await pool.pool.drain_one(0)
    await until(lambda: pool.pool.slots[0].ends)
    assert pool.pool.slots[0].ends[0].ended is Ended.ASKED
