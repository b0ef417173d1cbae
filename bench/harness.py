"""What the benchmarks share: servers in processes of their own, a client, CPU per call.

CPU is the kernel's own account of all threads of a process (``/proc/<pid>/task/*/schedstat``,
nanoseconds), read before and after a fixed number of calls; so it does not matter how busy
the machine is otherwise. The client is libnghttp2 too, in this process.
"""

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ngh2

from sidecar.transport.aio import CHECK_SERVICE

PATH = f"/{CHECK_SERVICE}/Check".encode()
HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", PATH),
    (b":authority", b"sidecar"),
    (b"te", b"trailers"),
    (b"grpc-timeout", b"500m"),
    (b"content-type", b"application/grpc"),
    (b"x-envoy-internal", b"true"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-envoy-expected-rq-timeout-ms", b"500"),
)
READY_SECONDS = 15.0
IN_FLIGHT = 32


class Load(NamedTuple):
    """What a run of calls came to."""

    calls: int
    seconds: float
    cpu_microseconds: float
    """Of the server, per call."""

    @property
    def calls_per_second(self) -> float:
        """Throughput of this closed loop."""
        return self.calls / self.seconds


class Server:
    """One server variant in a process of its own (``bench.servers``)."""

    def __init__(self, variant: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.servers", variant, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline() or 0)
        if not self.port:
            raise SystemExit(f"the server {variant!r} did not start")

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

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(variant: str, folder: Path) -> Iterator[Server]:
    """Run a server for the length of a block."""
    server = Server(variant, folder)
    try:
        yield server
    finally:
        server.stop()


class Client:
    """A closed loop over one connection: so many calls in flight, the next when one ends."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(30)
        self._h2 = ngh2.Connection(ngh2.Role.CLIENT)
        self._h2.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 20})
        self._h2.set_local_window_size(1 << 24)
        self._flush()

    def run(self, messages: Iterable[bytes], in_flight: int = IN_FLIGHT) -> int:
        """Make a call of each message; returns how many were answered."""
        todo = iter(messages)
        flying = answered = 0
        exhausted = False
        while flying or not exhausted:
            while not exhausted and flying < in_flight:
                message = next(todo, None)
                if message is None:
                    exhausted = True
                    break
                self._send(message)
                flying += 1
            self._flush()
            if not flying:
                break
            ended = self._receive()
            flying -= ended
            answered += ended
        return answered

    def ask(self, message: bytes) -> float:
        """Make one call and return its seconds."""
        started = time.perf_counter()
        self._send(message)
        self._flush()
        while not self._receive():
            pass
        return time.perf_counter() - started

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _send(self, message: bytes) -> None:
        stream_id = self._h2.send_request(HEADERS)
        data = struct.pack(">BI", 0, len(message)) + message
        self._h2.send_data(stream_id, data, end_stream=True)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._socket.sendall(data)

    def _receive(self) -> int:
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._h2.receive_data(data)
        return sum(isinstance(event, ngh2.StreamClosed) for event in self._h2.events())


def load(server: Server, messages: Sequence[bytes], in_flight: int = IN_FLIGHT) -> Load:
    """Run a closed loop and account for the server's CPU."""
    client = Client(server.port)
    try:
        client.run(messages[: min(len(messages), 200)] if in_flight > 1 else (), in_flight)
        cpu, started = server.cpu_seconds(), time.perf_counter()
        calls = client.run(messages, in_flight)
        seconds = time.perf_counter() - started
        return Load(calls, seconds, (server.cpu_seconds() - cpu) / calls * 1e6)
    finally:
        client.close()


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process, by the kernel's scheduler."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory of a process in megabytes (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"process {pid} has gone")


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample below which this share of them lies."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]
