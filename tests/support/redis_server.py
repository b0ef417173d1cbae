"""A real Redis on loopback, of Debian's package `redis`, that tests freeze, kill and restart."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.process import ManagedProcess, find_program, free_ports, listens

READY_SECONDS = 20.0


class RedisServer:
    """One server, which keeps nothing on disk."""

    def __init__(self, folder: Path, *arguments: str, tls: bool = False) -> None:
        self.port = free_ports(1)[0]
        ports = ["--port", "0", "--tls-port"] if tls else ["--port"]
        self._command = [
            find_program("redis-server", "redis-server (Debian's; tools/get-redis)"),
            *ports, str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(folder), *arguments,
        ]  # fmt: skip
        self._process: ManagedProcess | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = ManagedProcess("redis", self._command)
        self._process.wait_until(lambda: listens(self.port), READY_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.stop()
            self._process = None


@contextmanager
def redis_server(folder: Path, *arguments: str, tls: bool = False) -> Iterator[RedisServer]:
    """Run a server; it is ended with the block, frozen or not."""
    server = RedisServer(folder, *arguments, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()
