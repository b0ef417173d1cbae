"""Servers in processes of their own, and a closed loop that accounts for their CPU."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.clients import IN_FLIGHT, GrpcClient
from bench.kernel import cpu_of, cpu_seconds, rss_mb
from bench.material import is_allowed

_CALM_SECONDS = 0.03
_CALM_CPU_SECONDS = 0.000_5
WARM_UP_CALLS = 200


class Load(NamedTuple):
    """What a run of calls came to."""

    calls: int
    seconds: float
    cpu_microseconds: float
    """Of the server, per call."""

    @property
    def per_second(self) -> float:
        """Throughput of this closed loop."""
        return self.calls / self.seconds


class Server:
    """One server variant in a process of its own (``bench.servers``)."""

    def __init__(self, variant: str, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.servers", variant, str(folder), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline().strip()
        if not said:
            raise SystemExit(f"the server {variant!r} did not start")
        self.address: int | str = int(said) if said.isdigit() else said
        self.asked = 0
        """Calls of ``load`` so far, those of the warm-up too."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def cpu_seconds(self) -> float:
        """CPU of all threads so far."""
        return cpu_seconds(self.pid)

    def rss_mb(self) -> float:
        """Resident memory."""
        return rss_mb(self.pid)

    def answer(self, message: bytes) -> bytes:
        """Make one Check and return the response's bytes."""
        client = GrpcClient(self.address)
        try:
            fields, body = client.answer(message)
        finally:
            client.close()
        if fields.get(b"grpc-status") != b"0":
            raise SystemExit(f"a Check of the bench failed: {fields}")
        return body[5:]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(variant: str, folder: Path, *options: str) -> Iterator[Server]:
    """Run a server for the length of a block."""
    server = Server(variant, folder, *options)
    try:
        yield server
    finally:
        server.stop()


def expect(server: Server, message: bytes, *, allowed: bool) -> None:
    """Make sure that what is measured is what it is taken for."""
    if is_allowed(server.answer(message)) is not allowed:
        raise SystemExit(f"a Check that should be {'allowed' if allowed else 'denied'} is not")


def settled(*pids: int) -> float:
    """Wait until processes rest, and return their CPU so far.

    What a server does after its last answer (counts, audit lines) is counted that way too.
    """
    before, calm = cpu_of(pids), 0
    for _ in range(100):
        time.sleep(_CALM_SECONDS)
        now = cpu_of(pids)
        calm = calm + 1 if now - before < _CALM_CPU_SECONDS else 0
        before = now
        if calm == 2:
            break
    return before


def load(
    server: Server,
    messages: Sequence[bytes],
    *,
    in_flight: int = IN_FLIGHT,
    warm_up: Sequence[bytes] | None = None,
) -> Load:
    """Run a closed loop on a connection of its own and account for the server's CPU.

    ``warm_up`` goes before and is not counted; the first messages if nothing is said, and
    nothing (``()``) where each is to be seen for the first time.
    """
    client = GrpcClient(server.address)
    try:
        server.asked += client.run(messages[:WARM_UP_CALLS] if warm_up is None else warm_up)
        cpu, started = settled(server.pid), time.perf_counter()
        calls = client.run(messages, in_flight)
        server.asked += calls
        seconds = time.perf_counter() - started
        return Load(calls, seconds, (settled(server.pid) - cpu) / calls * 1e6)
    finally:
        client.close()
