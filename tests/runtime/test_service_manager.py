"""What systemd is told: ready, reloading, stopping, alive; and nothing where nobody listens."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo.process import ManagedProcess
from sidecar.observability.health import Health
from sidecar.observability.waits import Waits
from sidecar.runtime.service_manager import (
    NotifySettings,
    ServiceManager,
    read_environment,
)
from tests.runtime.started import command

ENVIRONMENTS: list[tuple[str, dict[str, str], NotifySettings | None]] = [
    ("none", {}, None),
    ("a path", {"NOTIFY_SOCKET": "/run/n"}, NotifySettings("/run/n", None)),
    ("an abstract name", {"NOTIFY_SOCKET": "@n"}, NotifySettings("@n", None)),
    ("another kind of socket", {"NOTIFY_SOCKET": "vsock:2:1"}, None),
    ("a watchdog", {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000"}, NotifySettings("@n", 3.0)),
    (
        "ours",
        {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "7"},
        NotifySettings("@n", 0.001),
    ),
    (
        "another's",
        {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"},
        NotifySettings("@n", None),
    ),
    ("no number", {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "1s"}, NotifySettings("@n", None)),
    ("of another script", {"NOTIFY_SOCKET": "@", "WATCHDOG_USEC": "٣"}, NotifySettings("@", None)),
    ("never", {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, NotifySettings("@n", None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "settings"), [r[1:] for r in ENVIRONMENTS], ids=[r[0] for r in ENVIRONMENTS]
)
def test_what_the_environment_says(
    environment: dict[str, str], settings: NotifySettings | None
) -> None:
    assert read_environment(environment, pid=7) == settings


class Systemd:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0") if address[0] == "@" else address)
        self.socket.settimeout(20)

    def next(self) -> list[str]:
        return self.socket.recv(65_536).decode().split("\n")

    def waiting(self) -> list[list[str]]:
        """Return what has come and was not read."""
        self.socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            return found
        finally:
            self.socket.settimeout(20)


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(f"@septem-{os.getpid()}" if request.param == "abstract" else f"{tmp_path}/n")
    yield made
    made.socket.close()


class World:
    def __init__(self, address: str, watchdog: float | None = None) -> None:
        self.health = Health()
        self.waits = Waits(lambda: 0.0)
        settings = NotifySettings(address, watchdog)
        self.manager = ServiceManager(settings, self.health, self.waits, lambda: 5_000_000)
        self.periods: list[float] = []

    async def run(self, rounds: int = 1) -> None:
        async def sleep(seconds: float) -> None:
            self.periods.append(seconds)
            if len(self.periods) >= rounds:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await self.manager.run(sleep)


async def test_a_life(systemd: Systemd) -> None:
    world = World(systemd.address)
    world.health.set_unhealthy("start", "waits for Vault")
    with world.waits.on("Vault"):
        await world.run()
    assert systemd.waiting() == [
        ["STATUS=not ready: start: waits for Vault", "EXTEND_TIMEOUT_USEC=30000000"]
    ]
    world.health.set_healthy("start")
    world.manager.started()
    assert systemd.waiting() == [["READY=1", "STATUS=ready"]]
    with world.manager.reloading():
        assert systemd.waiting() == [["RELOADING=1", "MONOTONIC_USEC=5000", "STATUS=reloading"]]
    assert systemd.waiting() == [["READY=1", "STATUS=ready"]]
    world.manager.stopping()
    assert systemd.waiting() == [["STOPPING=1", "STATUS=draining"]]


async def test_the_state_is_said_when_it_changes_and_as_one_line(systemd: Systemd) -> None:
    world = World(systemd.address)
    world.manager.started()
    systemd.waiting()
    await world.run(3)
    assert systemd.waiting() == []
    world.health.set_unhealthy("audit", "the thread\nREADY=1\nhas ended " + "x" * 1000)
    await world.run()
    ((status,),) = systemd.waiting()
    assert status.startswith("STATUS=not ready: audit: the thread READY=1 has ended x")
    assert len(status) < 600


@pytest.mark.parametrize(
    ("watchdog", "period"), [(None, 1.0), (30.0, 1.0), (1.0, 0.5), (0.02, 0.01)]
)
async def test_the_watchdog_has_two_beats_in_its_time(
    systemd: Systemd, watchdog: float | None, period: float
) -> None:
    world = World(systemd.address, watchdog)
    await world.run(2)
    assert world.periods == [period, period]
    beats = [lines for lines in systemd.waiting() if "WATCHDOG=1" in lines]
    assert len(beats) == (0 if watchdog is None else 2)


async def test_a_start_is_prolonged_only_while_something_is_waited_for(systemd: Systemd) -> None:
    world = World(systemd.address)
    await world.run()
    with world.waits.on("a lease"):
        world.manager.started()
        await world.run()
    assert not any("EXTEND" in line for lines in systemd.waiting() for line in lines)


async def test_who_does_not_listen_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(f"{tmp_path}/absent")
    with caplog.at_level(logging.WARNING):
        world.manager.started()
        world.manager.stopping()
    assert caplog.messages == [
        "the service manager is not told (NOTIFY_SOCKET): No such file or directory"
    ]


async def test_without_a_service_manager_nothing_runs() -> None:
    manager = ServiceManager(None, Health(), Waits(lambda: 0.0), lambda: 0)
    manager.started()
    await manager.run()


@pytest.mark.real
def test_a_whole_sidecar_tells_its_life(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    systemd = Systemd(f"{tmp_path}/notify")
    with (
        closing(systemd.socket),
        ManagedProcess("sidecar", list(command(whole))) as process,
    ):
        said = _until(systemd, "READY=1")
        assert any(line.startswith("STATUS=not ready: start: ") for line in said)
        assert "WATCHDOG=1" in _until(systemd, "WATCHDOG=1")
        process.signal(signal.SIGHUP)
        assert any(line.startswith("MONOTONIC_USEC=") for line in _until(systemd, "RELOADING=1"))
        _until(systemd, "READY=1")
        process.signal(signal.SIGTERM)
        _until(systemd, "STOPPING=1")


def _until(systemd: Systemd, wanted: str) -> list[str]:
    said: list[str] = []
    while wanted not in said:
        said += systemd.next()
    return said
