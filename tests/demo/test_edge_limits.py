"""The edge against slow clients, a full memory and connections that change their protocol."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from demo.cases import ALWAYS, API, Minter, bearer
from demo.client import Client
from demo.envoyproxy import Envoy, edge_config
from demo.process import free_ports
from demo.stack import Stack
from sidecar.common.clock import wall_seconds

pytestmark = pytest.mark.real
UPGRADE = (
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
PLAIN = ("content-security-policy", "x-content-type-options")
"""Headers of every reply over plain HTTP; HSTS is forbidden there (RFC 6797 §7.2)."""
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


@pytest.fixture
def upstream() -> Iterator[int]:
    """An application that switches protocols and then echoes; it answers nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=echo_one, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def echo_one(server: socket.socket) -> None:
    try:
        connection, _ = server.accept()
    except OSError:
        return
    with connection:
        connection.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        if b"upgrade: websocket" in head.lower():
            connection.sendall(SWITCH)
        while data := connection.recv(65536):
            if b"upgrade: websocket" in head.lower():
                connection.sendall(data)


@contextmanager
def edge(
    stack: Stack, folder: Path, application: int, change: Callable[[Any, Any], None]
) -> Iterator[int]:
    """Run a second Envoy before the same sidecar, its configuration changed."""
    http, https, admin = free_ports(3)
    ports = stack.ports._replace(http=http, https=https, admin=admin, application=application)
    config = edge_config(ports)
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    change(config, listeners["https"]["filter_chains"][0]["filters"][0]["typed_config"])
    with closing(Stopping(Envoy(config, folder))):
        yield https


class Stopping:
    """An Envoy that ``closing`` can end."""

    def __init__(self, envoy: Envoy) -> None:
        self._envoy = envoy

    def close(self) -> None:
        self._envoy.stop()


def short_request(_: Any, manager: Any) -> None:
    manager["request_timeout"] = "1s"


def connect(stack: Stack, port: int) -> HTTPConnection:
    """Speak HTTP/1.1 to the edge over TLS, with the socket in reach."""
    context = ssl.create_default_context(cadata=stack.ca_pem)
    raw = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection = HTTPConnection("localhost", port)
    connection.sock = context.wrap_socket(raw, server_hostname="localhost")
    return connection


def good_token(stack: Stack) -> tuple[str, str]:
    return bearer(Minter(stack.key, wall_seconds()).good())


def test_a_body_that_dribbles_in_is_cut_off(stack: Stack, tmp_path: Path, upstream: int) -> None:
    with (
        edge(stack, tmp_path, upstream, short_request) as port,
        closing(connect(stack, port)) as client,
    ):
        client.putrequest("POST", API)
        client.putheader(*good_token(stack))
        client.putheader("content-length", "1000")
        client.endheaders()
        started = time.monotonic()
        for _ in range(8):
            client.send(b"x")
            time.sleep(0.1)
        reply = client.getresponse()
        assert reply.status == 408
        assert 0.5 < time.monotonic() - started < 4
        for name in ALWAYS:
            assert reply.getheader(name), f"{name} is missing"


def test_a_websocket_with_a_good_token_outlives_the_request_timeout(
    stack: Stack, tmp_path: Path, upstream: int
) -> None:
    with (
        edge(stack, tmp_path, upstream, short_request) as port,
        closing(connect(stack, port)) as client,
    ):
        client.request("GET", API, headers=dict((*UPGRADE, good_token(stack))))
        assert client.sock.recv(65536).startswith(b"HTTP/1.1 101")
        time.sleep(2)
        client.sock.sendall(b"still there")
        assert client.sock.recv(65536) == b"still there"


def test_a_websocket_without_a_token_is_refused(stack: Stack) -> None:
    reply = stack.client.get(API, UPGRADE)
    assert (reply.status, reply.document()["reason"]) == (401, "token_missing")


@pytest.mark.parametrize("tls", [True, False], ids=["https", "plain http"])
def test_without_memory_new_requests_are_refused_with_every_header(
    stack: Stack, tmp_path: Path, tls: bool
) -> None:
    """This 503 is sent before there is a filter chain: header_mutation never sees it."""
    ports: list[int] = []

    def full(config: Any, _: Any) -> None:
        monitors = config["overload_manager"]["resource_monitors"]
        (heap,) = (each for each in monitors if each["name"].endswith("fixed_heap"))
        heap["typed_config"]["max_heap_size_bytes"] = 1
        listeners = config["static_resources"]["listeners"]
        ports.extend(each["address"]["socket_address"]["port_value"] for each in listeners)

    wanted = dict(ALWAYS) if tls else dict.fromkeys(PLAIN)
    with edge(stack, tmp_path, stack.application.port, full):
        client = Client(ports[1], ports[0], stack.ca_pem)
        deadline = time.monotonic() + 5
        while (reply := client.get(API, (good_token(stack),), tls=tls)).status != 503:
            assert time.monotonic() < deadline, "the first reading comes within refresh_interval"
            time.sleep(0.05)
    assert "application" not in reply.document()
    for name, value in wanted.items():
        assert name in reply.headers, f"{name} is missing"
        assert value is None or reply.headers[name] == value


def test_no_header_is_sent_twice(stack: Stack) -> None:
    """Two places set the same headers; a reply of Envoy's own passes both."""
    with closing(connect(stack, stack.ports.https)) as client:
        client.request("GET", "/assets%2fx")
        reply = client.getresponse()
        names = [name.lower() for name, _ in reply.getheaders()]
    assert reply.status == 400
    assert set(ALWAYS) <= set(names)
    assert len(names) == len(set(names))
