"""The edge in the clear, with an application of scripts and with seconds where it has minutes."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from pathlib import Path
from typing import Any, NamedTuple

from demo.envoyproxy import shipped_config
from demo.process import free_ports
from sidecar.common.clock import wall_seconds
from tests.integration.headers_edge import HeadersEdge
from tests.streams.application import Script, serving
from tests.support.minting import AUDIENCE, ISSUER, base_claims

CONFIG = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /x}}}}
tokens: {{leeway_seconds: 0, issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}]}}
routes:
  - {{name: open, path_prefix: /open, auth: none}}
  - {{name: ending, path_prefix: /ending, end_streams_with_token: true}}
  - {{name: maybe, path_prefix: /maybe, auth: optional, end_streams_with_token: true}}
  - {{name: calls, path_prefix: /test.Calls}}
  - {{name: ending-calls, path_prefix: /test.Ending, end_streams_with_token: true}}
  - {{name: api, path_prefix: /api, cors: platform}}
headers: {{cors: {{platform: {{origins: ["https://app.example"]}}}}}}
"""
UPGRADE = (
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
BEGIN_SECONDS, IDLE_SECONDS, UPGRADE_SECONDS, STREAM_SECONDS = 1, 3, 5, 8
"""What stands here for 30, 300, 900 and 3600 seconds."""
_SCALED = {
    "30s": f"{BEGIN_SECONDS}s",
    "300s": f"{IDLE_SECONDS}s",
    "900s": f"{UPGRADE_SECONDS}s",
    "3600s": f"{STREAM_SECONDS}s",
}
Header = tuple[str, str]


class Reply(NamedTuple):
    """What came back on a connection, until it was closed or there was enough."""

    status: int
    headers: list[Header]
    body: bytes
    seconds: float

    def document(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


def manager_of(config: Any) -> Any:
    """Find the settings of HTTP of the listener that faces clients."""
    (listener,) = (
        each
        for each in config["static_resources"]["listeners"]
        if each["name"] in ("https", "inbound")
    )
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def routes_of(host: Any) -> list[Any]:
    """Return the routes that lead somewhere: the refusal of odd upgrades does not."""
    return [route for route in host["routes"] if "route" in route]


def scale(config: Any) -> None:
    """Replace the edge's bounds on streams by short ones; nothing else, and each of them."""
    manager = manager_of(config)
    (host,) = manager["route_config"]["virtual_hosts"]
    holders = [manager]
    for route in routes_of(host):
        holders += [route["route"], *(v for v in route["route"].values() if isinstance(v, dict))]
    for holder in holders:
        for name, value in holder.items():
            if re.search("timeout|duration|max$", name) and str(value) in _SCALED:
                holder[name] = _SCALED[value]


class StreamsEdge(HeadersEdge):
    """The edge, and a client that sees what a connection does."""

    def bearer(self, seconds: float = 600) -> Header:
        """Return the header with a token that is good for so long."""
        now = wall_seconds()
        token = self.issuer.mint(**base_claims(now, exp=now + seconds))
        return "authorization", f"Bearer {token.decode()}"

    def open(self, path: str, *headers: Header, method: str = "GET") -> socket.socket:
        """Send the head of a request, and return the connection."""
        lines = [f"{method} {path} HTTP/1.1", "host: app.example"]
        lines += [f"{name}: {value}" for name, value in headers]
        connection = socket.create_connection(("127.0.0.1", self.ports.https), timeout=20)
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def fetch(
        self,
        path: str,
        *headers: Header,
        method: str = "GET",
        enough: Callable[[bytes], bool] = lambda _: False,
    ) -> Reply:
        """Send a request and read until Envoy closes, or until there is ``enough``."""
        started = time.monotonic()
        close = (
            () if any(name == "connection" for name, _ in headers) else (("connection", "close"),)
        )
        with self.open(path, *headers, *close, method=method) as connection:
            return read_reply(connection, started, enough)


class ServiceEdge(StreamsEdge):
    """The inbound side of service-mtls.yaml, its TLS taken off."""

    def envoy_config(self) -> Any:
        config = shipped_config("service-mtls.yaml")
        static = config["static_resources"]
        static["listeners"] = static["listeners"][:1]
        del static["listeners"][0]["filter_chains"][0]["transport_socket"]
        moved = {"service": self.ports.application, "sidecar_authz": self.ports.authz}
        static["clusters"] = [each for each in static["clusters"] if each["name"] in moved]
        places = [(static["listeners"][0]["address"], self.ports.https)]
        places.append((config["admin"]["address"], self.ports.admin))
        for cluster in static["clusters"]:
            (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            places.append((endpoint["endpoint"]["address"], moved[cluster["name"]]))
        for address, port in places:
            address["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        return config


def read_reply(
    connection: socket.socket, started: float, enough: Callable[[bytes], bool] = lambda _: False
) -> Reply:
    """Read a reply to the end of its length, if it has one; else until the connection is closed."""
    received = b""
    with suppress(ConnectionResetError):
        while not enough(received) and not _is_whole(received):
            more = connection.recv(65_536)
            if not more:
                break
            received += more
    seconds = time.monotonic() - started
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, _, fields = head.partition(b"\r\n")
    parsed = BytesParser().parsebytes(fields + b"\r\n\r\n", headersonly=True)
    headers = [(name.lower(), value) for name, value in parsed.items()]
    return Reply(int(status_line.split()[1] or 0), headers, body, seconds)


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\ncontent-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) >= int(length[1])


@contextmanager
def running_edge(
    folder: Path,
    scripts: dict[str, Script],
    *changes: Callable[[Any], None],
    kind: type[StreamsEdge] = StreamsEdge,
) -> Iterator[StreamsEdge]:
    """Run the edge before an application of these scripts."""
    with serving(scripts) as port, edge_before(folder, port, *changes, kind=kind) as edge:
        yield edge


@contextmanager
def edge_before(
    folder: Path,
    application: int,
    *changes: Callable[[Any], None],
    kind: type[StreamsEdge] = StreamsEdge,
) -> Iterator[StreamsEdge]:
    """Run the edge before whatever listens on this port."""

    def change(config: Any) -> None:
        for each in changes:
            each(config)

    with kind(CONFIG, folder, application=application, change=change) as edge:
        yield edge
    assert edge.faults == []


def no_sidecar(config: Any) -> None:
    """Have nobody where the sidecar should be."""
    (nobody,) = free_ports(1)
    for cluster in config["static_resources"]["clusters"]:
        if cluster["name"] == "sidecar_authz":
            (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            endpoint["endpoint"]["address"]["socket_address"]["port_value"] = nobody


def table(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the arguments of ``parametrize`` for rows that begin with their name."""
    return {"argvalues": [row[1:] for row in rows], "ids": [row[0] for row in rows]}
