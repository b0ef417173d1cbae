"""A sidecar with three workers at the common limit of 1,024 open files, and at none at all."""

import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from demo.process import fetch_status
from sidecar.transport.descriptors import raise_limit
from tests.runtime.workers.harness import WORKERS, WorkerStack
from tests.runtime.workers.test_behind_envoy import ask, restarts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024)); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class LimitedStack(WorkerStack):
    def _sidecar_command(self) -> list[str]:
        python, *arguments = super()._sidecar_command()
        return [python, "-c", LIMITED, *arguments]


@pytest.fixture(scope="module")
def stack() -> Iterator[LimitedStack]:
    with LimitedStack(keys={"poll_seconds": 0.2, "dual_key_seconds": 0}) as running:
        yield running


def nobody_was_lost(stack: LimitedStack, pids: list[int]) -> None:
    assert stack.worker_pids() == pids
    assert fetch_status(stack.admin_port, "/livez") == 200
    wait_until(lambda: fetch_status(stack.admin_port, "/readyz") == 200)
    wait_until(lambda: stack.readyz()["workers"] == f"{WORKERS} of {WORKERS} serve")
    wait_until(lambda: ask(stack) == 200)
    assert sum(restarts(stack.metrics(), n, "exited") for n in range(WORKERS)) == 0


def idle(exits: ExitStack, port: int, count: int) -> None:
    """Open connections and say nothing."""
    for _ in range(count):
        with_time = socket.create_connection(("127.0.0.1", port), timeout=10)
        exits.callback(with_time.close)


def test_idle_connections_on_every_port_cost_nobody_anything(stack: LimitedStack) -> None:
    if raise_limit() < 4096:
        pytest.skip("this process may not open enough itself")
    pids = stack.worker_pids()
    assert ask(stack) == 200
    with ExitStack() as exits:
        for port in stack.check_ports:
            idle(exits, port, 1100)
        for port in (stack.admin_port, stack.ports.reports, stack.ports.sds):
            idle(exits, port, 300)
        nobody_was_lost(stack, pids)
        # Two beats and more: a worker that can't tell its memory would be gone by then.
        time.sleep(3)
        nobody_was_lost(stack, pids)
    nobody_was_lost(stack, pids)


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """Let a process open nothing more."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest_free = next(n for n in range(len(taken) + 1) if n not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_nothing_ends_for_want_of_a_descriptor(stack: LimitedStack) -> None:
    pids = stack.worker_pids()
    ports = (*stack.check_ports, stack.admin_port, stack.ports.reports, stack.ports.sds)
    with ExitStack() as exits:
        for pid in (stack.sidecar.pid, *pids):
            exits.enter_context(starved(pid))
        for port in ports:
            idle(exits, port, 3)
        time.sleep(3)
    nobody_was_lost(stack, pids)


def test_the_limit_is_what_the_test_says(stack: LimitedStack) -> None:
    for pid in (stack.sidecar.pid, *stack.worker_pids()):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (1024, 1024)
    assert sys.executable in Path(f"/proc/{stack.sidecar.pid}/cmdline").read_text()
