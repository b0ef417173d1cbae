"""`sidecar health`: an exec probe's exit code, and one line that says why."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.admin.routes import KeyRefresh, admin_routes, probe_routes
from sidecar.cli.main import main
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from sidecar.transport.http1 import HttpServer

SICK = "keys: no key is loaded"


async def unasked() -> KeyRefresh:
    raise AssertionError


class Listeners:
    """The admin port and the listener for probes of one process, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.health = Health()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        admin = admin_routes(self.health, Metrics(), unasked)
        self._servers = [
            HttpServer(f"unix:{folder}/admin", admin, on_fault=print),
            HttpServer("0.0.0.0:0", probe_routes(self.health), on_fault=print, max_body_bytes=0),
        ]
        for each in self._servers:
            asyncio.run_coroutine_threadsafe(each.start(), self._loop).result(10)
        self.admin, self.probes = (each.bound_address for each in self._servers)

    def stop(self) -> None:
        for each in self._servers:
            asyncio.run_coroutine_threadsafe(each.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    running = Listeners(tmp_path_factory.mktemp("health"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> None:
    if "listeners" in request.fixturenames:
        request.getfixturevalue("listeners").health.set_healthy("keys")


ROWS: list[tuple[str, list[str], bool, int, set[str]]] = [
    ("well", [], False, 0, {"ready"}),
    ("ill", [], True, 1, {f"not ready: {SICK}", "not ready"}),
    ("alive while ill", ["--live"], True, 0, {"alive"}),
]


@pytest.mark.parametrize("port", ["admin", "probes"])
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_exit_code_is_the_health(
    listeners: Listeners,
    port: str,
    row: tuple[str, list[str], bool, int, set[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, options, is_ill, code, said = row
    if is_ill:
        listeners.health.set_unhealthy(*SICK.split(": "))
    assert main(["health", "--address", getattr(listeners, port), *options]) == code
    assert capsys.readouterr().out.strip() in said


def test_who_may_be_anybody_is_not_told_why(
    listeners: Listeners, capsys: pytest.CaptureFixture[str]
) -> None:
    listeners.health.set_unhealthy(*SICK.split(": "))
    listeners.health.facts["workers"] = "1 of 2 serve"
    assert main(["health", "--address", listeners.probes, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "well": False, "status": 503, "answer": "not ready",
    }  # fmt: skip


Answer = Callable[[socket.socket], None]
STRANGERS: list[tuple[str, bytes, int, str]] = [
    ("no HTTP", b"SSH-2.0-OpenSSH\r\n", 1, "no sidecar answers"),
    ("nothing", b"", 1, "no sidecar answers"),
    ("an empty answer", b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n", 1, "status 500"),
    (
        "a list",
        b"HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n[]",
        1,
        "is no sidecar: it answers '[]'",
    ),
    ("bytes", b"HTTP/1.1 404 x\r\ncontent-length: 2\r\n\r\n\xff\x1b", 1, "\\u001b"),
    ("odd problems", b'HTTP/1.1 503 x\r\n\r\n{"problems": 3}', 1, '{"problems": 3}'),
]


@pytest.mark.parametrize(
    ("raw", "code", "said"), [row[1:] for row in STRANGERS], ids=[row[0] for row in STRANGERS]
)
def test_a_stranger_on_the_port_is_no_ready_sidecar(
    raw: bytes, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(raw)

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert main(["health", "--address", address]) == code
        thread.join()
    assert said in "".join(capsys.readouterr())


def test_nobody_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--address", "127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert said == "sidecar: no sidecar answers at 127.0.0.1:1: Connection refused\n"


def test_the_address_of_a_configuration(
    listeners: Listeners, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = (Path(__file__).parents[2] / "config.example.yaml").read_text()
    settings = tmp_path / "c.yaml"
    settings.write_text(example.replace("127.0.0.1:9102", listeners.admin))
    assert main(["health", "--config", str(settings)]) == 0
    assert capsys.readouterr().out == "ready\n"
