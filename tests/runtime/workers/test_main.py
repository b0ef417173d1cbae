"""The program of a worker: what it is, what it has, when it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.workers import published
from sidecar.runtime.workers.broadcast import WorkerFault
from sidecar.runtime.workers.spawn import COMMAND
from sidecar.tokens.revocation import (
    NOTHING_REVOKED,
)
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import check_request, read_answer
from tests.runtime.workers.harness import resident_mb
from tests.runtime.workers.pooled import WORKERS, Pool, good
from tests.support.minting import Issuer
from tests.support.waiting import until

FOREIGN = (
    "yaml",
    "hvac",
    "grpc",
    "envoy_data_plane",
    "prometheus_client",
    "requests",
    "betterproto2",
    "acme",
    "dns",
)
TELL_MODULES = """
import atexit, json, sys
told = open({path!r}, "w")
atexit.register(lambda: told.write(json.dumps(sorted(sys.modules))))
import sidecar.runtime.workers.main
sys.exit(sidecar.runtime.workers.main.main())
"""


def test_started_by_hand_it_says_how_to_start_it() -> None:
    done = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"run `sidecar serve`" in done.stderr


async def test_the_kernel_takes_it_before_the_main_process(pool: Pool) -> None:
    """Out of memory, that is: the score of each is the main process's and half of the scale."""
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    for number in range(WORKERS):
        theirs = Path(f"/proc/{pool.pid(number)}/oom_score_adj").read_text()
        assert int(theirs) == min(ours + 500, 1000)


async def test_signals_are_the_main_processs(pool: Pool, issuer: Issuer) -> None:
    pids = [pool.pid(number) for number in range(WORKERS)]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pid in pids:
            os.kill(pid, number)
    await asyncio.sleep(0.2)
    await pool.ask(0, good(issuer))
    assert [pool.pid(number) for number in range(WORKERS)] == pids


async def test_health_follows_the_main_process_and_shows_the_key_state(
    pool: Pool, issuer: Issuer
) -> None:
    assert not await pool.serving(0, "")
    pool.pool.broadcast.set_ready(ready=True)
    pool.pool.broadcast.publish(issuer.ring, NOTHING_REVOKED, KeyState.OUTAGE)
    await pool.pool.broadcast.settle()
    assert await pool.serving(0, "")
    assert await pool.serving(1, "envoy.service.auth.v3.Authorization")
    assert await pool.serving(0, "keys.outage")
    assert not await pool.serving(0, "keys.active")


async def test_in_flight_calls_are_answered_at_the_end(pool: Pool, issuer: Issuer) -> None:
    raw = check_request(headers={"authorization": f"Bearer {good(issuer).decode()}"})
    async with grpc.aio.insecure_channel(pool.addresses[0]) as channel:
        check = channel.unary_unary(CHECK_METHOD)
        await check(raw, timeout=5)
        calls = [asyncio.ensure_future(check(raw, timeout=5)) for _ in range(200)]
        await asyncio.sleep(0.02)
        await pool.pool.stop()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    given = [answer for answer in answers if isinstance(answer, bytes)]
    assert given
    assert all(read_answer(answer).allowed for answer in given)
    failed = [answer for answer in answers if not isinstance(answer, bytes)]
    codes = {error.code() for error in failed if isinstance(error, grpc.aio.AioRpcError)}
    assert len(given) + len(failed) == 200
    assert codes <= {grpc.StatusCode.UNAVAILABLE}, failed
    assert all(isinstance(error, grpc.aio.AioRpcError) for error in failed), failed


async def test_what_is_not_in_a_worker(tmp_path: Path, issuer: Issuer) -> None:
    """Nothing that talks to Vault, serves SDS or renders metrics; and little memory."""
    path = tmp_path / "modules.json"
    running = Pool(command=(sys.executable, "-c", TELL_MODULES.format(path=str(path))))
    running.publish(issuer.ring)
    await running.pool.start()
    for number in range(WORKERS):
        await running.ask(number, good(issuer))
    await running.pool.refresh_stats()
    # Python 3.13 itself takes a megabyte more than 3.11.
    assert resident_mb(running.pid(0)) <= (50 if sys.version_info < (3, 13) else 54)
    await running.pool.stop()
    modules = json.loads(path.read_text())
    assert "sidecar.authz.service" in modules
    roots = {name.partition(".")[0] for name in modules}
    assert roots & set(FOREIGN) == set()
    ours = {name for name in modules if name.startswith("sidecar.")}
    forbidden = (
        "sidecar.vault",
        "sidecar.sds",
        "sidecar.certificates",
        "sidecar.admin",
        "sidecar.observability.alerts",
    )
    assert {name for name in ours if name.startswith(forbidden)} == set()
    # How a client's certificate is read, and whose it is: no more of what applications share.
    shared = {
        "workload",
        "workload.errors",
        "workload.x509",
        "workload.x509.identities",
        "workload.x509.reading",
    }
    assert {name for name in modules if name.split(".")[0] == "workload"} <= shared


async def test_it_ends_when_its_channel_closes(pool: Pool) -> None:
    process = pool.pool.slots[0].process
    assert process is not None
    process._channel.close()
    await until(lambda: not Path(f"/proc/{process.pid}").exists())


async def test_a_worker_of_another_version_refuses(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(published, "PROTOCOL", 999)
    running = Pool()
    running.publish(issuer.ring)
    with pytest.raises(WorkerFault, match="it ended with exit code 1"):
        await running.pool.start()
    await running.pool.stop()
    assert "the main process has protocol version" in caplog.text
