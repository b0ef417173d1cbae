"""The module in the real Envoy, with the shipped file: asked and repeated are the same."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGKILL, SIGSTOP, Signals
from typing import Any

import pytest

from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.process import free_ports
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
STALE_SECONDS = 0.5
_OWN_OF_EACH = {"x-request-id", "date", "x-envoy-upstream-service-time"}


class Application(BaseHTTPRequestHandler):
    """Tells what reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer any request."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        told = [pair for pair in self.headers.items() if pair[0] not in _OWN_OF_EACH]
        body = json.dumps([self.path, *told]).encode()
        self.send_response(200)
        for name, value in (
            ("vary", "accept"),
            ("x-kept", "1"),
            ("content-length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Sidecar:
    """``tests.support.lease_server`` as a process of its own."""

    def __init__(self, socket: Path, port: int, audit: Path) -> None:
        self._command = [sys.executable, "-m", "tests.support.lease_server"]
        self._command += [str(socket), str(port), str(audit)]
        self._audit = audit
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def order(self, order: str = "counts") -> dict[str, int]:
        """Give an order, and return what is counted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts

    def signal(self, number: Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, and wait for that."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def lines(self) -> list[dict[str, Any]]:
        """Read the audit lines that were drained."""
        return [json.loads(line) for line in self._audit.read_text().splitlines()]


class Edge:
    """Envoy with ``edge-cached.yaml`` in the clear, and what it talks to."""

    def __init__(self, folder: Path, module: Path) -> None:
        http, self.port, admin, authz = free_ports(4)
        self._application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
        self._thread = threading.Thread(target=self._application.serve_forever, daemon=True)
        self._thread.start()
        audit = folder / "audit.jsonl"
        audit.touch()
        self.socket = folder / "lease.sock"
        self.sidecar = Sidecar(self.socket, authz, audit)
        ports = EdgePorts(http, self.port, admin, self._application.server_port, authz, sds=1)
        config = edge_config(ports, name="edge-cached.yaml")
        for listener in config["static_resources"]["listeners"]:
            if listener["name"] != "https":
                continue
            del listener["listener_filters"]
            del listener["filter_chains"][0]["transport_socket"]
            for each in listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]:
                if each["name"] == "septem.decision_cache":
                    each["typed_config"]["filter_config"]["value"] = f"socket={self.socket}"
        self.envoy = Envoy(config, folder, module.parent)

    def stop(self) -> None:
        """End everything."""
        self.envoy.stop()
        self.sidecar.end()
        self._application.shutdown()
        self._thread.join()
        self._application.server_close()

    def send(
        self,
        token: str,
        path: str = "/api/x",
        method: str = "GET",
        body: str | None = None,
        **headers: str,
    ) -> tuple[int, list[tuple[str, str]], Any]:
        """Send a request; return status, headers, and what the application said it got."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        host = {"host": "edge.example", "authorization": f"Bearer {token}"}
        connection.request(method, path, body, {**host, **named})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        kept = [pair for pair in response.getheaders() if pair[0] not in _OWN_OF_EACH]
        return response.status, kept, json.loads(data) if data else None

    def asked(self) -> int:
        """Count the Checks that were asked."""
        return self.sidecar.order()["asked"]

    def hold_lease(self) -> None:
        """Wait until answers are repeated."""
        token = new_token()

        def repeats() -> bool:
            before = self.sidecar.order()
            self.send(token)
            after = self.sidecar.order()
            return after["asked"] == before["asked"] and after["leases"] == 1

        wait_until(repeats, 20)


def new_token() -> str:
    return f"user-{secrets.token_hex(4)}.{secrets.token_hex(16)}"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, built_module: Path) -> Iterator[Edge]:
    running = Edge(tmp_path_factory.mktemp("edge"), built_module)
    yield running
    running.stop()


@pytest.fixture
def leased(edge: Edge) -> Edge:
    edge.hold_lease()
    return edge


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/x", {}),
        ("/api/x?page=2&q=a%20b", {}),
        ("/api/x", {"x_secret": "1", "x_also_secret": "2", "x_tenant_id": "evil"}),
        ("/api/x", {"x_user_id": "evil", "accept": "application/json", "cookie": "a=b"}),
        ("/api/x", {"origin": "https://elsewhere.example"}),
    ],
    ids=["plain", "query", "removed", "forged", "origin"],
)
def test_asked_and_repeated_are_the_same(leased: Edge, path: str, headers: dict[str, str]) -> None:
    token = new_token()
    before = leased.asked()
    asked, repeated = (leased.send(token, path, **headers) for _ in range(2))
    assert leased.asked() == before + 1
    assert asked == repeated
    status, response, told = repeated
    assert status == 200
    assert told[0] == path
    assert dict(response)["strict-transport-security"]
    names = dict(told[1:])
    assert names["x-user-id"] == token.split(".")[0]
    assert names["x-tenant-id"] == "acme"
    assert "x-secret" not in names


def test_each_repeated_answer_has_its_audit_line(leased: Edge) -> None:
    token = new_token()
    for _ in range(4):
        leased.send(token, "/api/audited?secret=1")
    user = token.split(".")[0]
    wait_until(lambda: sum(line["subject"] == user for line in leased.sidecar.lines()) == 3)
    lines = [line for line in leased.sidecar.lines() if line["subject"] == user]
    assert len({line["decision_id"] for line in lines}) == 3
    for line in lines:
        assert line["path"] == "/api/audited"
        assert line["host"] == "edge.example"
        assert line["source"] == "127.0.0.1"
        assert line["time"].endswith("+00:00")
    wait_until(
        lambda: (
            {line["decision_id"] for line in lines}
            <= {entry.get("repeated_as") for entry in leased.envoy.access_log()}
        )
    )


def test_a_denial_is_not_remembered_and_a_revocation_ends_what_is(leased: Edge) -> None:
    token = new_token()
    leased.send(token)
    assert leased.send(token)[0] == 200
    before = leased.asked()
    leased.sidecar.order("revoke")
    for _ in range(3):
        assert leased.send(token)[0] == 401
    assert leased.asked() == before + 3
    leased.sidecar.end()
    leased.sidecar.start()


@pytest.mark.parametrize(
    "request_",
    [
        {"path": "/api/private/x"},
        {"path": "/API/x"},
        {"path": "/api/a.b/c%2Bd"},
        {"path": "/bodies", "method": "POST", "body": "x"},
        {"path": "/api/x", "method": "OPTIONS"},
        {"path": "/api/x?access%5ftoken=1"},
        {"path": "/api/x", "sec_websocket_protocol": "a"},
        {"path": "/api/x", "x_module_signature": "a"},
    ],
    ids=str,
)
def test_what_is_never_repeated_is_asked_for(leased: Edge, request_: dict[str, str]) -> None:
    token = new_token()
    before = leased.asked()
    for _ in range(3):
        leased.send(token, **request_)
    assert leased.asked() == before + 3


def test_an_answer_ends_when_its_time_is_over(leased: Edge) -> None:
    token = new_token()
    leased.send(token, "/short")
    before = leased.asked()

    def asked_again() -> bool:
        leased.send(token, "/short")
        return leased.asked() > before

    wait_until(asked_again, 10)


def test_credit_is_spent_and_then_asked_for(leased: Edge) -> None:
    token = new_token()
    leased.sidecar.order("grant 3")
    leased.send(token, "/counted")
    before = leased.asked()
    for _ in range(5):
        leased.send(token, "/counted")
    assert leased.asked() == before + 2
    leased.sidecar.order("grant 1000000")


def test_another_users_token_is_another_answer(leased: Edge) -> None:
    first, second = new_token(), new_token()
    for token in (first, second, first, second):
        told = dict(leased.send(token)[2][1:])
        assert told["x-user-id"] == token.split(".")[0]


@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=["killed", "frozen"])
def test_without_the_sidecar_everything_ends_and_no_line_is_lost(
    leased: Edge, number: Signals
) -> None:
    token = new_token()
    for _ in range(3):
        assert leased.send(token)[0] == 200
    leased.sidecar.signal(number)
    allowed = 2
    statuses = []

    def refused() -> bool:
        statuses.append(leased.send(token)[0])
        return statuses[-1] == 503

    wait_until(refused, STALE_SECONDS + 5)
    allowed += statuses.count(200)
    leased.sidecar.end()
    leased.sidecar.start()
    leased.hold_lease()
    user = token.split(".")[0]
    wait_until(
        lambda: sum(line["subject"] == user for line in leased.sidecar.lines()) == allowed,
        explain=lambda: (
            allowed,
            [line for line in leased.sidecar.lines() if line["subject"] == user],
        ),
    )


def test_a_connection_that_ends_is_made_anew(leased: Edge) -> None:
    leased.sidecar.order("sever")
    leased.hold_lease()


def test_a_socket_of_nobody_asks(leased: Edge) -> None:
    leased.sidecar.end()
    leased.socket.unlink()
    assert leased.send(new_token())[0] == 503
    leased.sidecar.start()
    leased.hold_lease()
