"""Three workers behind a real Envoy, with OpenBao behind the main process."""

import base64
import json
import os
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGSTOP, SIGTERM
from typing import Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from demo.cases import API, Minter, bearer
from demo.process import fetch_text
from sidecar.common.clock import wall_seconds
from sidecar.runtime.hardening.landlock import abi_version
from tests.runtime.workers.harness import WORKERS, WorkerStack, resident_mb
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
MAX_WORKER_MB = 50


@pytest.fixture(scope="module")
def stack() -> Iterator[WorkerStack]:
    with WorkerStack(keys={"poll_seconds": 3600, "dual_key_seconds": 0}) as running:
        yield running


@pytest.fixture
def sidecar_back(stack: WorkerStack) -> Iterator[None]:
    """Put the sidecar back after a test that took it away."""
    yield
    stack.sidecar.stop()
    stack.start_sidecar()
    wait_until(lambda: ask(stack) == 200)


def ask(stack: WorkerStack, key: ec.EllipticCurvePrivateKey | None = None) -> int:
    token = Minter(key or stack.key, wall_seconds()).good()
    return stack.client.get(API, (bearer(token),)).status


class Traffic:
    """Requests one after another on a few connections, and the statuses of their answers."""

    def __init__(self, stack: WorkerStack) -> None:
        self.statuses: list[int] = []
        self._stop = threading.Event()
        self._context = ssl.create_default_context(cadata=stack.ca_pem)
        self._port = stack.ports.https
        self._headers = dict([bearer(Minter(stack.key, wall_seconds()).good())])
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def _run(self) -> None:
        connection = HTTPSConnection("localhost", self._port, timeout=10, context=self._context)
        while not self._stop.is_set():
            connection.request("GET", API, headers=self._headers)
            answer = connection.getresponse()
            answer.read()
            self.statuses.append(answer.status)
        connection.close()

    def flow(self, count: int = 40) -> None:
        """Wait for some answers more."""
        enough = len(self.statuses) + count
        wait_until(lambda: len(self.statuses) >= enough)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def scrapes(stack: WorkerStack) -> Iterator[list[dict[str, float]]]:
    """Read /metrics again and again."""
    taken: list[dict[str, float]] = []
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            taken.append(stack.metrics())
            time.sleep(0.05)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def assert_never_backwards(taken: list[dict[str, float]]) -> None:
    ends = re.compile(r"^septem_\w+(_total|_bucket|_count|_sum)(\{|$)")
    highest: dict[str, float] = {}
    for samples in taken:
        for name, value in samples.items():
            if ends.search(name):
                assert value >= highest.get(name, 0.0), name
                highest[name] = value
        assert highest.keys() <= samples.keys()


def checks(samples: dict[str, float]) -> list[float]:
    return [samples[f'septem_worker_checks_total{{worker="{n}"}}'] for n in range(WORKERS)]


def restarts(samples: dict[str, float], worker: int, reason: str) -> float:
    return samples[f'septem_worker_restarts_total{{reason="{reason}",worker="{worker}"}}']


def whole_again(stack: WorkerStack) -> bool:
    return bool(stack.readyz().get("workers") == f"{WORKERS} of {WORKERS} serve")


def test_the_load_is_shared_and_the_numbers_add_up(stack: WorkerStack) -> None:
    before, lines = stack.metrics(), len(stack.audited())
    assert [ask(stack) for _ in range(60)] == [200] * 60
    after = stack.metrics()
    shares = [now - then for now, then in zip(checks(after), checks(before), strict=True)]
    assert sum(shares) == 60
    assert min(shares) >= 15
    name = 'septem_checks_total{outcome="allow",reason="token_verified",route="api"}'
    assert after[name] - before.get(name, 0.0) == 60
    count = "septem_check_duration_seconds_count"
    assert after[count] - before[count] == 60
    assert after["septem_token_cache_entries"] >= 1
    assert stack.readyz()["workers"] == "3 of 3 serve"
    wait_until(lambda: len(stack.audited()) == lines + 60)
    assert len({line["decision_id"] for line in stack.audited()}) == lines + 60


def test_a_worker_is_small(stack: WorkerStack) -> None:
    sizes = [resident_mb(pid) for pid in stack.worker_pids()]
    assert all(size <= MAX_WORKER_MB for size in sizes), sizes
    for number in range(WORKERS):
        reported = stack.metrics()[f'septem_worker_resident_memory_bytes{{worker="{number}"}}']
        assert reported / 1e6 <= MAX_WORKER_MB


@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=["killed", "hung"])
def test_one_is_lost_under_load_and_the_others_go_on(stack: WorkerStack, number: int) -> None:
    """Asked again of another worker, a Check survives; nothing that is counted goes backwards."""
    before = stack.worker_pids()
    with scrapes(stack) as taken, Traffic(stack) as traffic:
        traffic.flow()
        os.kill(before[1], number)
        wait_until(lambda: before[1] not in stack.worker_pids())
        wait_until(lambda: whole_again(stack))
        traffic.flow()
    failed = len(traffic.statuses) - traffic.statuses.count(200)
    assert failed <= 2, (failed, len(traffic.statuses))
    others = set(before) - {before[1]}
    wait_until(lambda: set(stack.worker_pids()) > others, explain=lambda: stack.sidecar.lines)
    assert_never_backwards(taken)
    reason = "exited" if number == SIGKILL else "hung"
    samples = stack.metrics()
    (lost,) = (n for n in range(WORKERS) if restarts(samples, n, reason))
    wait_until(lambda: ask(stack) == 200 and checks(stack.metrics())[lost] > checks(samples)[lost])


def put_new_key(stack: WorkerStack) -> ec.EllipticCurvePrivateKey:
    """Replace the signing key in Vault; the old one is withdrawn with the next refresh."""
    old, stack.key = stack.key, ec.generate_private_key(ec.SECP256R1())
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    stack.openbao.put_key(stack.key.private_bytes(*form).decode())
    return old


def test_a_withdrawn_key_is_gone_everywhere_when_the_refresh_answers(stack: WorkerStack) -> None:
    assert [ask(stack) for _ in range(6)] == [200] * 6
    old = put_new_key(stack)
    url = f"http://127.0.0.1:{stack.admin_port}/keys/refresh"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=5) as answer:
        assert json.load(answer) == {"keys": "active"}
    assert [ask(stack, old) for _ in range(9)] == [401] * 9
    assert [ask(stack) for _ in range(9)] == [200] * 9
    samples = stack.metrics()
    for number in range(WORKERS):
        version = samples[f'septem_worker_snapshot_version{{worker="{number}"}}']
        assert version == samples["septem_snapshot_version"] > 1


def test_an_unknown_kid_seen_by_a_worker_makes_the_main_process_look(stack: WorkerStack) -> None:
    """Polls are an hour apart; the nudge is what finds the new key."""
    put_new_key(stack)
    assert ask(stack) == 401
    wait_until(lambda: ask(stack) == 200)
    assert [ask(stack) for _ in range(9)] == [200] * 9


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything a process could write to, piece by piece."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            if not mode.startswith("rw") or "[v" in line:
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            memory.seek(start)
            yield memory.read(end - start)


def scalars(body: bytes) -> Iterator[bytes]:
    """The private number behind a PEM, as DER and as OpenSSL keep it."""
    key = load_der_private_key(base64.b64decode(body), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    yield number.to_bytes(32, "big")
    yield number.to_bytes(32, "little")


def test_no_private_key_is_in_a_workers_memory(stack: WorkerStack) -> None:
    """What is found of them in the main process, which has them, is looked for in the workers."""
    pem = re.compile(rb"-----BEGIN (?:EC )?PRIVATE KEY-----\n([A-Za-z0-9+/=\n]{100,400})-----END")
    bodies = {body for piece in memory_of(stack.sidecar.pid) for body in pem.findall(piece)}
    assert bodies, "the main process serves a certificate, and must have its key"
    secrets = {form for body in bodies for form in (body[:60], *scalars(body))}
    for number in stack.worker_pids():
        for piece in memory_of(number):
            assert not any(secret in piece for secret in secrets)


def status_of(pid: int) -> dict[str, str]:
    rows = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in rows}


OPEN = ("socket:", "pipe:", "anon_inode:", "/proc/", "/memfd:septem-proofs ")
"""The last is the memory of the DPoP proofs that all workers have seen."""


def test_all_are_hardened_and_readyz_says_by_what(stack: WorkerStack) -> None:
    """What it comes to is tried in tests/hardening; here, that the real processes have it."""
    assert status_of(stack.sidecar.pid)["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{stack.sidecar.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0", limits)
    for pid in stack.worker_pids():
        status = status_of(pid)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["Seccomp_filters"]) == 2
        assert not [
            each
            for each in Path(f"/proc/{pid}/fd").iterdir()
            if not str(each.readlink()).startswith(OPEN)
            and str(each.readlink()) not in {"/dev/null", "/dev/urandom"}
        ], "no file is open but its own statistics"
    said = stack.readyz()["workers_confined_by"]
    assert said.startswith(
        "first out of memory, no new privileges, no core, memory closed, no io_uring"
    )
    assert ("missing" in said) is (abi_version() == 0)


def test_the_audit_log_can_be_rotated(stack: WorkerStack) -> None:
    path = stack.folder / "audit.jsonl"
    old = path.rename(stack.folder / "audit.1")
    stack.sidecar.signal(SIGHUP)
    wait_until(lambda: ask(stack) == 200 and path.exists() and len(stack.audited()) > 0)
    lines = old.read_text().splitlines() + path.read_text().splitlines()
    assert len({json.loads(line)["decision_id"] for line in lines}) == len(lines)


def test_ctrl_c_in_the_terminal_reaches_the_main_process_alone(stack: WorkerStack) -> None:
    """The workers are in sessions of their own."""
    sessions = {os.getsid(pid) for pid in stack.worker_pids()}
    assert len(sessions) == WORKERS
    assert os.getsid(stack.sidecar.pid) not in sessions


@pytest.mark.usefixtures("sidecar_back")
def test_when_the_main_process_is_killed_its_workers_end(stack: WorkerStack) -> None:
    pids = stack.worker_pids()
    stack.sidecar.signal(SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def stats(stack: WorkerStack) -> dict[str, int]:
    text = fetch_text(stack.ports.admin, "/stats?filter=^cluster.sidecar_authz.")
    rows = (line.split(": ") for line in text.splitlines())
    return {row[0].rpartition(".")[2]: int(row[1]) for row in rows if row[1].isdigit()}


def test_sigterm_drains_all_and_leaves_no_process(stack: WorkerStack) -> None:
    """No call that a worker has taken is cut off, by Envoy's own count. (The last test here.)"""
    pids, before = stack.worker_pids(), stats(stack)
    with Traffic(stack) as traffic:
        traffic.flow()
        stack.sidecar.signal(SIGTERM)
        assert stack.sidecar.wait(10) == 0
    assert set(traffic.statuses) <= {200, 503}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for name in ("upstream_cx_destroy_with_active_rq", "upstream_rq_rx_reset"):
        assert stats(stack)[name] == before[name], name
