"""Reloads of a real sidecar under traffic through a real Envoy: none lost, none decided by halves.

Two files alternate, and every tenth is broken. Under one, ``/reload-probe`` needs a role that the
token has and issuer keys are as before; under the other it is public with another policy. What
neither file would answer is a failure.
"""

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from signal import SIGHUP, SIGKILL
from typing import Any

import pytest
import yaml

from demo.cases import Minter
from demo.openbao import SIDECAR_POLICY, STORE_POLICY
from demo.process import fetch_text, free_ports
from demo.stack import Stack
from sidecar.cli.admin_client import request_admin
from sidecar.common.clock import wall_seconds
from tests.runtime.workers.harness import WorkerStack
from tests.support.waiting import until, wait_until

pytestmark = pytest.mark.real
PROBE = "/reload-probe"
CONNECTIONS = 4
LONG = os.environ.get("SEPTEM_LONG_TESTS") == "1"
RELOADS = 100 if LONG else 20
P99_SECONDS = 0.05 if LONG else 0.5
"""Of a request through Envoy while one reload follows another; the long form needs a quiet
machine."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerStack]:
    with WorkerStack() as running:
        yield running


class Files:
    """The sidecar's file, and what is written into it; the first one is put back at the end."""

    def __init__(self, stack: Stack) -> None:
        self.path = stack._config
        self.first = self.path.read_text()

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.path)

    def with_changes(self, change: Callable[[dict[str, Any]], None]) -> str:
        settings = deepcopy(yaml.safe_load(self.first))
        change(settings)
        return yaml.safe_dump(settings, sort_keys=False)

    def with_route(self, **route: Any) -> str:
        return self.with_changes(
            lambda s: s["routes"].insert(0, {"name": "probe", "path": PROBE, **route})
        )


@pytest.fixture
def files(stack: Stack) -> Iterator[Files]:
    yield from _files(stack)


@pytest.fixture
def worker_files(workers: WorkerStack) -> Iterator[Files]:
    yield from _files(workers)


def _files(stack: Stack) -> Iterator[Files]:
    made = Files(stack)
    yield made
    made.write(made.first)
    assert restart(stack)[1]["result"] in {"applied", "restarted", "unchanged"}


def command(stack: Stack, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "config", "reload",
         "--admin", f"127.0.0.1:{stack.admin_port}", *options],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def reload(stack: Stack) -> dict[str, Any]:
    return request_admin(f"127.0.0.1:{stack.admin_port}", "POST", "/config/reload")[1]


def metric(stack: Stack, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", fetch_text(stack.admin_port, "/metrics"), re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def ask(stack: Stack, path: str = PROBE, token: str = "") -> int:
    headers = [("authorization", f"Bearer {token}")] if token else []
    return stack.client.get(path, headers).status


def readyz(stack: Stack) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(fetch_text(stack.admin_port, "/readyz"))
    return document


def test_a_route_that_appears_changes_and_goes(stack: Stack, files: Files) -> None:
    before = ask(stack)
    files.write(files.with_route(auth="none"))
    code, said = command(stack)
    assert (code, "in force in every process" in said) == (0, True)
    assert "routes[probe]: absent -> added" in said
    assert ask(stack) not in {401, 403}
    files.write(files.with_route(roles=["nobody-has-it"]))
    code, said = command(stack)
    assert (code, "routes[probe].auth" in said, "routes[probe].roles" in said) == (0, True, True)
    assert ask(stack) == 401
    assert ask(stack, token=Minter(stack.key, wall_seconds()).good()) == 403
    files.write(files.first)
    assert command(stack)[0] == 0
    assert ask(stack) == before
    code, said = command(stack)
    assert (code, "says what is in force already" in said) == (0, True)


def unreachable_issuer(settings: dict[str, Any]) -> None:
    settings["routes"].insert(0, {"name": "probe", "path": PROBE, "auth": "none"})
    settings["tokens"]["issuers"].append({
        "issuer": "https://new.example",
        "audiences": ["api"],
        "keys": {"source": "jwks", "url": "https://127.0.0.1:1/jwks.json"},
    })  # fmt: skip


def other_port(settings: dict[str, Any]) -> None:
    settings["routes"].insert(0, {"name": "probe", "path": PROBE, "auth": "none"})
    settings["listen"]["authz"]["address"] = "127.0.0.1:1"


REFUSED: list[tuple[str, Callable[[Files], str], int, str, str]] = [
    ("half a file", lambda f: f.first[: len(f.first) // 2], 2, "invalid", "line "),
    ("an unknown setting", lambda f: f.with_route(auth="none", role=["x"]), 2, "invalid", "role"),
    ("another port", lambda f: f.with_changes(other_port), 1, "restart_required",
     "listen.authz.address"),
    ("keys that can't be had", lambda f: f.with_changes(unreachable_issuer), 1, "unprepared",
     "https://127.0.0.1:1/jwks.json"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused_changes_nothing_and_says_why(
    stack: Stack, files: Files, row: tuple[str, Callable[[Files], str], int, str, str]
) -> None:
    _, text, exit_code, result, why = row
    before, counted = ask(stack), metric(stack, f'septem_config_reloads_total{{result="{result}"}}')
    in_force = readyz(stack)["config"]
    files.write(text(files))
    code, said = command(stack)
    assert code == exit_code
    assert why in said
    assert "stays in force" in said
    assert ask(stack) == before
    assert metric(stack, f'septem_config_reloads_total{{result="{result}"}}') == counted + 1
    ready = readyz(stack)
    assert ready["ready"] is True
    assert ready["config"].startswith(in_force)
    assert why in ready["config"] or result == "invalid"
    files.write(files.first)
    assert command(stack)[0] == 0
    assert readyz(stack)["config"] == in_force


def test_a_hang_up_reloads(stack: Stack, files: Files) -> None:
    files.write(files.with_route(auth="none"))
    before = ask(stack)
    stack.sidecar.signal(SIGHUP)
    wait_until(lambda: ask(stack) != before)


class Traffic:
    """Requests over kept connections, as fast as they are answered, until it is stopped."""

    def __init__(self, stack: Stack, token: str) -> None:
        self._port = stack.ports.https
        self._tls = ssl.create_default_context(cadata=stack.ca_pem)
        self._head = (
            f"GET {PROBE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.statuses: Counter[int] = Counter()
        self.lost = 0
        self.seconds: list[float] = []
        self._over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(self._send())

    def stop(self) -> None:
        self._over = True

    async def _send(self) -> None:
        reader, writer = await asyncio.open_connection("localhost", self._port, ssl=self._tls)
        while not self._over:
            began = time.perf_counter()
            writer.write(self._head)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.lost += 1
                return
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            await reader.readexactly(int(length[1]))
            self.seconds.append(time.perf_counter() - began)
            self.statuses[int(head[9:12])] += 1
        writer.close()

    def reached(self, seconds: float) -> str:
        """Say what was measured in so many seconds: the rate, and how long answers took."""
        times = sorted(self.seconds)
        p99 = times[len(times) * 99 // 100]
        rate = len(times) / seconds
        return f"{rate:.0f} requests/s, p99 {p99 * 1e3:.1f} ms, longest {times[-1] * 1e3:.0f} ms"

    def check(self, passes: int) -> None:
        """Every answer was the one that both files give, and none came late."""
        assert (dict(self.statuses), self.lost) == ({passes: self.statuses.total()}, 0)
        times = sorted(self.seconds)
        assert times[len(times) * 99 // 100] < P99_SECONDS


def pair(files: Files, kid: str) -> tuple[str, str]:
    """Two files that let the same request pass; half of one with half of the other would not."""
    roles = files.with_route(roles=["admin"])
    settings = yaml.safe_load(files.with_route(auth="none", csp="api"))
    settings["keys"] = {**settings.get("keys", {}), "denied_kids": [kid]}
    return roles, yaml.safe_dump(settings, sort_keys=False)


async def reload_under_traffic(
    stack: Stack, files: Files, between: Callable[[int], None] = lambda _n: None
) -> None:
    """Reload again and again, every tenth file broken, with requests that all must pass."""
    minter = Minter(stack.key, wall_seconds())
    pairs = pair(files, minter._kid)
    files.write(pairs[0])
    first = reload(stack)
    assert first["result"] == "applied", first
    passes = ask(stack, token=minter.good())
    assert passes not in {401, 403, 503}
    traffic = Traffic(stack, minter.good())
    running = asyncio.create_task(traffic.run())
    started, results = time.monotonic(), Counter[str]()
    for number in range(1, RELOADS + 1):
        whole = pairs[number % 2]
        files.write(whole[: len(whole) // 2] if number % 10 == 0 else whole)
        outcome = asyncio.create_task(asyncio.to_thread(reload, stack))
        between(number)
        results[(await outcome)["result"]] += 1
        seen = traffic.statuses.total()
        await until(lambda: traffic.statuses.total() >= seen + 20, task=running)  # noqa: B023
    seconds = time.monotonic() - started
    traffic.stop()
    await running
    print(f"{traffic.reached(seconds)}, {dict(results)}")  # noqa: T201
    traffic.check(passes)
    assert results["invalid"] == RELOADS // 10
    assert results["applied"] + results["unchanged"] == RELOADS - RELOADS // 10


async def test_no_request_is_lost_in_one_process(stack: Stack, files: Files) -> None:
    await reload_under_traffic(stack, files)


async def test_no_request_is_lost_with_workers(workers: WorkerStack, worker_files: Files) -> None:
    await reload_under_traffic(workers, worker_files)


RESTARTS = 30 if LONG else 3


def restart(stack: Stack) -> tuple[int, dict[str, Any]]:
    admin, body = f"127.0.0.1:{stack.admin_port}", b'{"allow_restart": true}'
    return request_admin(admin, "POST", "/config/reload", seconds=150, body=body)


def opened(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def restart_under_traffic(stack: Stack, files: Files) -> None:
    """Restart again and again, every third time in vain, with requests that all must pass."""
    first = files.with_route(auth="none")
    files.write(first)
    assert reload(stack)["result"] == "applied"
    passes, pid = ask(stack), stack.sidecar.pid
    descriptors = opened(pid)
    traffic = Traffic(stack, Minter(stack.key, wall_seconds()).good())
    running = asyncio.create_task(traffic.run())
    started, results = time.monotonic(), Counter[str]()
    for number in range(1, RESTARTS + 1):
        settings = yaml.safe_load(first)
        settings["listen"]["drain_seconds"] = 5 + number
        if number % 3 == 0:
            settings["vault"]["address"] = "http://127.0.0.1:1"
        files.write(yaml.safe_dump(settings, sort_keys=False))
        _, outcome = await asyncio.to_thread(restart, stack)
        results[outcome["result"]] += 1
        seen = traffic.statuses.total()
        await until(lambda: traffic.statuses.total() >= seen + 20, task=running)  # noqa: B023
    seconds = time.monotonic() - started
    traffic.stop()
    await running
    print(f"{traffic.reached(seconds)}, {dict(results)}")  # noqa: T201
    traffic.check(passes)
    assert results == {"restarted": RESTARTS - RESTARTS // 3, "restart_failed": RESTARTS // 3}
    assert stack.sidecar.pid == pid, "systemd and a container watch this number"
    await until(lambda: opened(pid) <= descriptors + 8)
    assert readyz(stack)["ready"] is True


async def test_no_request_is_lost_in_a_restart_of_one_process(stack: Stack, files: Files) -> None:
    await restart_under_traffic(stack, files)


async def test_no_request_is_lost_in_a_restart_with_workers(
    workers: WorkerStack, worker_files: Files
) -> None:
    before = workers.worker_pids()
    await restart_under_traffic(workers, worker_files)
    await until(lambda: len(workers.worker_pids()) == len(before))
    assert not set(before) & set(workers.worker_pids())


def test_a_restart_moves_the_admin_port_and_the_command_says_so(stack: Stack, files: Files) -> None:
    (port,) = free_ports(1)

    def moved(settings: dict[str, Any]) -> None:
        settings["listen"]["admin"]["address"] = f"127.0.0.1:{port}"

    files.write(files.with_changes(moved))
    code, said = command(stack)
    assert (code, "--allow-restart" in said) == (1, True)
    code, said = command(stack, "--allow-restart")
    assert (code, "has taken over, without a gap" in said) == (0, True), said
    assert json.loads(fetch_text(port, "/readyz"))["ready"] is True
    files.write(files.first)
    address, body = f"127.0.0.1:{port}", b'{"allow_restart": true}'
    status, outcome = request_admin(address, "POST", "/config/reload", seconds=150, body=body)
    assert (status, outcome["result"]) == (200, "restarted"), outcome
    wait_until(lambda: readyz(stack)["ready"])


async def test_a_worker_that_is_killed_in_a_reload_comes_back_with_the_new_file(
    workers: WorkerStack, worker_files: Files
) -> None:
    """The reload succeeds, and the worker's successor decides as the others do."""
    worker_files.write(worker_files.with_route(auth="none"))
    outcome = asyncio.create_task(asyncio.to_thread(reload, workers))
    victim = workers.worker_pids()[0]
    os.kill(victim, SIGKILL)
    assert (await outcome)["result"] == "applied"
    await until(lambda: victim not in workers.worker_pids())
    await until(lambda: workers.metrics()["septem_workers_serving"] == 3)
    assert {ask(workers) for _ in range(30)} & {401, 403} == set()


REVOCATIONS = """
path "secret/data/iam/revocations"         { capabilities = ["read"] }
path "secret/metadata/iam/revocations"     { capabilities = ["read", "list"] }
path "secret/metadata/iam/revocations/*"   { capabilities = ["read"] }
"""


def test_revoke_waits_until_every_worker_denies(
    workers: WorkerStack, worker_files: Files, tmp_path: Path
) -> None:
    """With a list that a reload has put in force a moment ago."""
    root = workers.openbao.client
    root.sys.create_or_update_policy("sidecar", SIDECAR_POLICY + STORE_POLICY + REVOCATIONS)

    def with_list(settings: dict[str, Any]) -> None:
        settings["routes"].insert(0, {"name": "probe", "path": PROBE})
        settings["keys"] = {**settings.get("keys", {}), "revocations": {"poll_seconds": 3600}}

    worker_files.write(worker_files.with_changes(with_list))
    assert reload(workers)["result"] == "applied"
    token = Minter(workers.key, wall_seconds()).good()
    assert 401 not in {ask(workers, token=token) for _ in range(12)}
    secret = tmp_path / "vault-token"
    secret.write_text(root.token)
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "revoke", "token", "--token-file", str(secret),
         "--config", str(workers._config)],
        input=token, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "every process decides by it" in done.stdout
    assert {ask(workers, token=token) for _ in range(12)} == {401}
    # What the obvious command writes: an error that says so, and what was revoked stays so.
    root.secrets.kv.v2.create_or_update_secret("iam/revocations", {"tokens": '[{"jti": "x"}]'})
    status, answer = request_admin(f"127.0.0.1:{workers.admin_port}", "POST", "/keys/refresh")
    assert status == 502
    assert "tokens: is JSON within a text" in answer["error"]
    assert "sidecar revoke" in answer["error"]
    assert ask(workers, token=token) == 401


@pytest.fixture
def watched(stack: Stack, files: Files) -> Iterator[Path]:
    """The sidecar with a watched file, mounted as a ConfigMap is."""
    folder = stack.folder / "mount"
    folder.mkdir()
    before, text = stack._config, f"config_watch_seconds: 0.1\n{files.first}"
    mount(folder, text)
    stack._config = folder / "sidecar.yaml"
    stack._config.symlink_to("..data/sidecar.yaml")
    stack.sidecar.stop()
    stack.start_sidecar()
    yield folder
    stack._config = before
    stack.sidecar.stop()
    stack.start_sidecar()


def mount(folder: Path, text: str) -> None:
    """Exchange the content as the kubelet does: a new folder, and a link renamed over the old."""
    version = folder / f"..{time.monotonic_ns()}"
    version.mkdir()
    (version / "sidecar.yaml").write_text(text)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")


def test_a_watched_file_is_reloaded_however_it_is_written(
    stack: Stack, files: Files, watched: Path
) -> None:
    watching = "config_watch_seconds: 0.1\n"
    public = watching + files.with_route(auth="none")
    strict = watching + files.with_route(roles=["nobody-has-it"])
    mount(watched, public)
    wait_until(lambda: ask(stack) not in {401, 403})
    mount(watched, strict)
    wait_until(lambda: ask(stack) == 401)
    # An editor that renames; then one that writes in place, and is seen before it has ended.
    target = (watched / "sidecar.yaml").resolve()
    fresh = target.with_suffix(".swp")
    fresh.write_text(public)
    fresh.rename(target)
    wait_until(lambda: ask(stack) not in {401, 403})
    refused = 'septem_config_reloads_total{result="invalid"}'
    before = metric(stack, refused)
    with target.open("w") as file:
        file.write(strict[: len(strict) // 2])
        file.flush()
        wait_until(lambda: metric(stack, refused) == before + 1)
        assert ask(stack) not in {401, 403}
        file.write(strict[len(strict) // 2 :])
    wait_until(lambda: ask(stack) == 401)
