"""The shipped edge before many applications at once: one virtual host, one cluster for each.

Envoy and its file are the real ones, the Check is this very process's, the TLS is taken
off. ``<name>.example`` is the application of that name.
"""

import copy
import json
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.process import free_ports
from sidecar.common.clock import wall_seconds
from tests.applications.servers import Application
from tests.integration.headers_edge import serve_checks, without_tls
from tests.support.minting import AUDIENCE, ISSUER, Issuer

SECONDS = 20.0
_TRIES = 5
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
START = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /x}}}}
tokens: {{issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}]}}
"""
"""The beginning of a configuration whose tokens ``Edge.token`` makes."""
Headers = Sequence[tuple[str, str]]


class Reply(NamedTuple):
    """What came back; ``told`` is what the application said, ``{}`` where it was not asked."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What the application was told."""
        document = self.document
        return document if "seen" in document else {}

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        document: dict[str, Any] = json.loads(self.body) if self.body.startswith("{") else {}
        return document

    @property
    def reason(self) -> str:
        """Why it was refused; empty where it was not, or Envoy knew no reason."""
        return str(self.document.get("reason", ""))

    @property
    def names(self) -> set[str]:
        """Every name the application has for a header, in one form: ``x-tenant-id``."""
        return {folded(name) for name in self.told.get("seen", {})}


def folded(name: str) -> str:
    """Bring ``HTTP_X_TENANT_ID``, ``x-tenant-id`` and ``X.Tenant.ID`` to one form."""
    plain = name.lower().replace("_", "-").removeprefix("http-")
    return "".join(each if each.isalnum() else "-" for each in plain)


class Edge:
    """The edge, ready to be asked. A context manager."""

    def __init__(
        self,
        config: str,
        applications: Iterable[Application],
        folder: Path,
        *,
        file: str = "edge.yaml",
        sidecar: bool = True,
        authz_port: int | None = None,
        change: Callable[[Any], None] | None = None,
    ) -> None:
        """Take the sidecar's configuration. Without ``sidecar`` nobody answers Checks,
        or who listens on ``authz_port``.

        ``change`` gets the HTTP connection manager, all of its virtual hosts in place.
        """
        self.issuer = Issuer.generate()
        self.faults: list[Exception] = []
        self._config = config
        self._applications = tuple(applications)
        self._folder = folder
        self._file = file
        self._sidecar = sidecar and authz_port is None
        self._authz_port = authz_port
        self._change = change
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            authz = self._authz_port or free_ports(1)[0]
            if self._sidecar:
                authz = serve_checks(exits, self._config, self.issuer, self.faults)
            http, self.port, admin, nowhere = free_ports(4)
            ports = EdgePorts(http, self.port, admin, nowhere, authz, authz)
            config = edge_config(ports, name=self._file)
            manager = before_applications(config, self._applications)
            if self._change is not None:
                self._change(manager)
            self.envoy = Envoy(config, self._folder)
            exits.callback(self.envoy.stop)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def token(self, **claims: Any) -> tuple[str, str]:
        """Make the header with a good token; ``None`` takes a claim away."""
        token = self.issuer.mint(now=wall_seconds(), **claims).decode()
        return "authorization", f"Bearer {token}"

    def ask(
        self,
        application: str,
        path: str,
        headers: Headers = (),
        *,
        method: str = "GET",
        body: str = "",
    ) -> Reply:
        """Send one HTTP/1.1 request, every byte of its head as it is given here."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {application}.example"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"content-length: {len(body)}")
        if not any(name.lower() == "connection" for name, _ in headers):
            lines.append("connection: close")
        return self.send("\r\n".join([*lines, "", body]).encode("latin-1"))

    def send(self, raw: bytes) -> Reply:
        """Send these bytes and read the first reply; again where a busy machine made Envoy say 503.

        Envoy says so where the Check was late: that is no decision.
        """
        for _ in range(_TRIES):
            reply = self._send_once(raw)
            if reply.status != HTTPStatus.SERVICE_UNAVAILABLE:
                break
        return reply

    def _send_once(self, raw: bytes) -> Reply:
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            connection.sendall(raw)
            received = b""
            while not whole(received) and (more := connection.recv(65_536)):
                received += more
        return parse(received)

    def ask_http2(
        self,
        application: str,
        path: str,
        headers: Headers = (),
        trailers: Headers = (),
        **pseudo: str,
    ) -> Reply:
        """Send one HTTP/2 request, with trailers if there are any."""
        plain = H2Configuration(
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        h2 = H2Connection(plain)
        h2.initiate_connection()
        head = {
            ":method": "GET",
            ":scheme": "http",
            ":authority": f"{application}.example",
            ":path": path,
            **{f":{name}": value for name, value in pseudo.items()},
        }
        h2.send_headers(1, [*head.items(), *headers], end_stream=not trailers)
        if trailers:
            h2.send_headers(1, list(trailers), end_stream=True)
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            return _read_http2(h2, connection)


def before_applications(config: Any, applications: Iterable[Application]) -> Any:
    """Give each application a virtual host and a cluster like those of the file."""
    manager = without_tls(config)
    hosts = manager["route_config"]["virtual_hosts"]
    clusters = config["static_resources"]["clusters"]
    (host,) = hosts
    (cluster,) = (each for each in clusters if each["name"] == "application")
    for each in applications:
        own_host, own_cluster = copy.deepcopy(host), copy.deepcopy(cluster)
        own_host |= {"name": each.name, "domains": [f"{each.name}.example"]}
        own_cluster["name"] = own_cluster["load_assignment"]["cluster_name"] = each.name
        (locality,) = own_cluster["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = each.port
        if each.http2:
            own_cluster["typed_extension_protocol_options"] = {
                HTTP_OPTIONS: {
                    "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            }
        for route in own_host["routes"]:
            if route.get("route", {}).get("cluster") == "application":
                route["route"]["cluster"] = each.name
        hosts.append(own_host)
        clusters.append(own_cluster)
    return manager


CLOSE_FRAME = b"\x88\x02\x03\xe8"
"""A WebSocket's end (RFC 6455 §5.5.1, code 1000): whoever sent it waits ten seconds for ours."""


def whole(received: bytes) -> bool:
    """Tell whether a reply is complete; one without a length ends with its connection."""
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    if head.startswith(b"HTTP/1.1 101") and body.endswith(CLOSE_FRAME):
        return True
    lowered = head.lower()
    if b"\r\ncontent-length: " in lowered:
        length = int(lowered.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        return len(body) >= length
    return b"\r\ntransfer-encoding: chunked" in lowered and body.endswith(b"0\r\n\r\n")


def parse(received: bytes) -> Reply:
    """Read a whole reply."""
    head, _, body = received.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = [(pair[0].lower(), pair[1] if pair[1:] else "") for pair in pairs]
    if ("transfer-encoding", "chunked") in headers:
        body = _dechunked(body)
    return Reply(int(start.split(" ")[1]), headers, body.decode("utf-8", "replace"))


def _dechunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            break
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


def _read_http2(h2: H2Connection, connection: socket.socket) -> Reply:
    headers: list[tuple[str, str]] = []
    trailers: list[tuple[str, str]] = []
    body = b""
    while True:
        connection.sendall(h2.data_to_send())
        received = connection.recv(65_536)
        if not received:  # Envoy ends the connection where the protocol is broken
            return Reply(0, [], "")
        for event in h2.receive_data(received):
            match event:
                case ResponseReceived():
                    headers = [(str(n), str(v)) for n, v in event.headers or ()]
                case TrailersReceived():
                    trailers = [(str(n), str(v)) for n, v in event.headers or ()]
                case DataReceived():
                    body += event.data or b""
                    h2.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                case StreamEnded() | StreamReset():
                    status = int(dict(headers).get(":status", "0"))
                    return Reply(status, headers, body.decode("utf-8", "replace"), tuple(trailers))


def keep_back(manager: Any, names: Sequence[str]) -> None:
    """Take headers out of ``allowed_headers``."""
    (authz,) = (each for each in manager["http_filters"] if each["name"].endswith("ext_authz"))
    allowed = authz["typed_config"]["allowed_headers"]
    patterns = [each for each in allowed["patterns"] if each["exact"] not in names]
    assert len(patterns) == len(allowed["patterns"]) - len(names)
    allowed["patterns"] = patterns
