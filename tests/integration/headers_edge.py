"""Real Envoy with the shipped file, the Check of this very process, a careless application.

Only the TLS is taken off: what is asked here is what becomes of headers.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.process import free_ports
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.config import parse_config
from sidecar.module_signing.digest_pool import DigestPool
from sidecar.transport.h2 import H2Server
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD
from tests.support.ids import numbered_ids
from tests.support.minting import Issuer

CARELESS = [
    ("server", "careless/1.0"),
    ("x-powered-by", "careless"),
    ("content-security-policy", "default-src *; style-src 'self'"),
    ("strict-transport-security", "max-age=1"),
    ("x-content-type-options", "sniff"),
    ("referrer-policy", "unsafe-url"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "public, max-age=86400"),
    ("cdn-cache-control", "max-age=86400"),
    ("vary", "accept"),
]

Headers = list[tuple[str, str]]


class _Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        nonces = self.headers.get_all("x-csp-nonce") or []
        body = ",".join(nonces).encode() or b"-"
        self.send_response_only(200)
        for name, value in CARELESS:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_OPTIONS = do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


class _Quiet:
    """Observes Checks, and keeps nothing."""

    def decided(self, outcome: object) -> None:
        """Take no note."""

    def allowed_fast(self, passage: object) -> None:
        """Take no note."""


class HeadersEdge:
    """The edge, ready to be asked. A context manager."""

    def __init__(
        self,
        config: str,
        folder: Path,
        *,
        application: int | None = None,
        change: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Take the port of another application, and what to ``change`` in Envoy's file."""
        self.issuer = Issuer.generate()
        self.faults: list[Exception] = []
        self._config = config
        self._folder = folder
        self._application = application
        self._change = change
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            application = self._application or _serve_careless(exits)
            authz = serve_checks(exits, self._config, self.issuer, self.faults)
            http, https, admin = free_ports(3)
            self.ports = EdgePorts(http, https, admin, application, authz, authz)
            config = self.envoy_config()
            self._change(config)
            self.envoy = Envoy(config, self._folder)
            exits.callback(self.envoy.stop)
            self._port = https
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def envoy_config(self) -> Any:
        """Return the shipped file with its TLS taken off."""
        config = edge_config(self.ports)
        without_tls(config)
        return config

    def ask(
        self, path: str, *headers: tuple[str, str], method: str = "GET", host: str = "app.example"
    ) -> tuple[int, Headers, str]:
        """Send one request; the headers come back in order, repeated ones apart."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (("host", host), *headers):
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            lowered = [(name.lower(), value) for name, value in response.getheaders()]
            return response.status, lowered, response.read().decode()
        finally:
            connection.close()


def serve_checks(exits: ExitStack, config: str, issuer: Issuer, faults: list[Exception]) -> int:
    """Answer Checks from a thread with a loop of its own; returns the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    pool = DigestPool(max_waiting=4)
    exits.callback(pool.close)
    service = CheckService(
        build_snapshot(parse_config(config, "test"), issuer.ring),
        now=wall_seconds,
        elapsed_ns=elapsed_ns,
        new_id=numbered_ids(),
        observer=_Quiet(),
        on_fault=faults.append,
        verifier_pool=pool,
    )
    server = H2Server(
        "127.0.0.1:0",
        {CHECK_METHOD: service.handle},
        limits=Limits(),
        clock=monotonic_seconds,
        on_fault=faults.append,
    )

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(server.stop(0.1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    exits.callback(stop)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    return int(server.bound_address.rpartition(":")[2])


def without_tls(config: Any) -> Any:
    """Return the manager of the edge's listener, which now speaks in the clear."""
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    (chain,) = listeners["https"]["filter_chains"]
    del listeners["https"]["listener_filters"]
    del chain["transport_socket"]
    return chain["filters"][0]["typed_config"]


def _serve_careless(exits: ExitStack) -> int:
    application = ThreadingHTTPServer(("127.0.0.1", 0), _Application)
    application.daemon_threads = True
    threading.Thread(target=application.serve_forever).start()
    exits.callback(application.server_close)
    exits.callback(application.shutdown)
    return application.server_address[1]


def values(headers: Headers, name: str) -> list[str]:
    """Every value of a header, one for each line of it."""
    return [value for each, value in headers if each == name]
