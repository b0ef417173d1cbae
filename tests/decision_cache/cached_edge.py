"""A real Envoy with the module, a real sidecar, OpenBao, and an application that tells all."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import yaml

from demo.cases import TENANT, Minter
from demo.envoyproxy import readme_pieces
from demo.process import fetch_status, fetch_text, free_run
from demo.stack import READY_SECONDS, Stack
from sidecar.cli.admin_client import request_admin
from sidecar.common.clock import wall_seconds
from tests.support.waiting import wait_until

ROUTES: list[dict[str, Any]] = [
    {"name": "assets", "path_prefix": "/assets", "auth": "none"},
    {"name": "landing", "path": "/", "auth": "optional"},
    {"name": "shell", "path": "/shell", "auth": "optional", "csp": "document", "nonce": "no-store"},
    {"name": "admin", "path_prefix": "/api/admin", "roles": ["admin"], "csp": "api"},
    {"name": "scoped", "path_prefix": "/api/scoped", "scopes": ["orders.read"], "csp": "api"},
    {"name": "acme", "path_prefix": "/api/acme", "tenant": TENANT, "csp": "api"},
    {"name": "shared", "path_prefix": "/api/shared", "cors": "pages", "csp": "api"},
    {"name": "anybody", "path_prefix": "/api/anybody", "cors": "anybody", "csp": "api"},
    {"name": "shadow", "path_prefix": "/api/shadow", "shadow": True, "csp": "api"},
    {"name": "mesh", "path_prefix": "/api/mesh", "clients": ["spiffe://a/b"], "csp": "api"},
    {"name": "stream", "path_prefix": "/api/stream", "end_streams_with_token": True, "csp": "api"},
    {"name": "kept", "path_prefix": "/api/kept", "keep_overrides": ["x-forwarded-host"]},
    {"name": "reader", "path_prefix": "/api/reader", "methods": ["GET"], "csp": "api"},
    {
        "name": "install", "path_prefix": "/api/v1/modules/install", "methods": ["POST"],
        "module": "unsigned_by_owner",
    },
    {"name": "api", "path_prefix": "/api", "csp": "api"},
]  # fmt: skip
HEADERS: dict[str, Any] = {
    "reports": {},
    "csp": {"document": {"enforced": [{"script-src": ["'self'", "'nonce-{nonce}'"]}]}},
    "cors": {
        "pages": {"origins": ["https://page.example"], "credentials": True},
        "anybody": {"origins": ["*"]},
    },
}
_OF_EACH = {"x-request-id", "date", "x-envoy-upstream-service-time"}
_OF_EACH_LINE = {"time", "decision_id", "request_id", "latency_us", "seq", "chain"}
_OF_EACH_ACCESS = {"time", "milliseconds", "request_id", "decision_id", "repeated_as"}


class _Echo(BaseHTTPRequestHandler):
    """Answers with the whole request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer any request."""
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        told = [pair for pair in self.headers.items() if pair[0] not in _OF_EACH]
        answer = json.dumps([self.command, self.path, sorted(told), body]).encode()
        self.send_response(200)
        for name, value in (
            ("content-length", str(len(answer))),
            ("vary", "accept"),
            ("content-security-policy", "default-src *"),
            ("referrer-policy", "unsafe-url"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Said(NamedTuple):
    """An answer, and what the application was told, but for what names the request."""

    status: int
    headers: list[tuple[str, str]]
    told: Any


class Ask(NamedTuple):
    """One request."""

    path: str = "/api/orders"
    method: str = "GET"
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    claims: Mapping[str, Any] = {}


class CachedEdge(Stack):
    """The demo's stack with a cached edge, routes of every kind, and workers."""

    def __init__(
        self, *, workers: int = 1, cache: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        keys = {"poll_seconds": 3600, "revocations": {"poll_seconds": 3600}}
        super().__init__(
            keys=keys,
            decision_cache=cache or {},
            changes={"routes": ROUTES, "headers": HEADERS},
            **more,
        )
        self._workers = workers
        self.minted = 0
        self._sent: Counter[str] = Counter()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._echo = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
            thread = threading.Thread(target=self._echo.serve_forever, daemon=True)
            thread.start()
            exits.callback(self._echo.server_close)
            exits.callback(thread.join)
            exits.callback(self._echo.shutdown)
            super().__enter__()
            self._echo_exits = exits.pop_all()
        self.context = ssl.create_default_context(cadata=self.ca_pem)
        self.hold_lease()
        return self

    def __exit__(self, *about: object) -> None:
        super().__exit__(*about)  # type: ignore[arg-type]
        self._echo_exits.close()

    def _sidecar_config(self) -> Mapping[str, Any]:
        config: dict[str, Any] = dict(super()._sidecar_config())
        if self._workers > 1:
            self.first_port = free_run(self._workers)
            authz = config["listen"]["authz"]
            authz |= {"address": f"127.0.0.1:{self.first_port}", "workers": self._workers}
        return config

    def _envoy_config(self) -> Any:
        config = super()._envoy_config()
        static = config["static_resources"]
        clusters = {each["name"]: each for each in static["clusters"]}
        (locality,) = clusters["application"]["load_assignment"]["endpoints"]
        address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        address["port_value"] = self._echo.server_port
        if self._workers > 1:
            piece, _ = readme_pieces()
            cluster = clusters["sidecar_authz"]
            cluster.update(piece)
            (locality,) = cluster["load_assignment"]["endpoints"]
            del locality["lb_endpoints"][self._workers :]
            for number, each in enumerate(locality["lb_endpoints"]):
                each["endpoint"]["address"]["socket_address"] |= {
                    "address": "127.0.0.1", "port_value": self.first_port + number,
                }  # fmt: skip
        return config

    def mint(self, **claims: Any) -> str:
        """Return a token that nobody has seen yet."""
        self.minted += 1
        changes = {"sub": f"user-{self.minted}", "jti": f"jti-{self.minted}", **claims}
        return Minter(self.key, wall_seconds()).good(**changes)

    def send(self, ask: Ask, token: str | None) -> Said:
        """Send a request, on a connection of its own."""
        self._sent[ask.path.partition("?")[0]] += 1
        connection = HTTPSConnection(
            "localhost", self.ports.https, timeout=20, context=self.context
        )
        try:
            connection.putrequest(ask.method, ask.path, skip_host=True, skip_accept_encoding=True)
            authorization = () if token is None else (("authorization", f"Bearer {token}"),)
            length = () if ask.body is None else (("content-length", str(len(ask.body))),)
            for pair in (("host", ask.host), *authorization, *length, *ask.headers):
                connection.putheader(*pair)
            connection.endheaders(None if ask.body is None else ask.body.encode())
            return _said(connection.getresponse())
        finally:
            connection.close()

    def settings(self) -> str:
        """Return the text of the sidecar's configuration."""
        return self._config.read_text()

    def write_settings(self, text: str) -> None:
        """Replace the sidecar's configuration."""
        fresh = self._config.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self._config)

    def change_settings(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the sidecar's configuration."""
        settings: dict[str, Any] = yaml.safe_load(self.settings())
        change(settings)
        self.write_settings(yaml.safe_dump(settings, sort_keys=False))

    def reload(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> dict[str, Any]:
        """Change the configuration, have it read, and return the outcome."""
        self.change_settings(change)
        address = f"127.0.0.1:{self.admin_port}"
        return request_admin(address, "POST", "/config/reload", seconds=60)[1]

    def counts(self) -> dict[str, float]:
        """Return what the sidecar says of its cache."""
        lines = fetch_text(self.admin_port, "/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("septem_"))
        return {name.removeprefix("septem_"): float(value) for name, value in pairs}

    def repeated(self) -> float:
        """Count what was repeated."""
        return self.counts()["decision_cache_repeated_total"]

    def hold_lease(self) -> None:
        """Wait until answers are repeated."""
        token = self.mint()

        def repeats() -> bool:
            if fetch_status(self.admin_port, "/readyz") != 200:
                return False
            before = self.repeated()
            return self.send(Ask(), token).status == 200 and self.repeated() > before

        wait_until(repeats, READY_SECONDS, explain=lambda: (self.counts(), self.sidecar.tail()))

    def lines_of(self, subject: str, number: int) -> list[dict[str, Any]]:
        """Wait for so many audit lines of a subject; without what is each one's own."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [line for line in self.audited() if line.get("subject") == subject]
            return len(found) >= number

        wait_until(there, explain=lambda: found)
        assert len({line["decision_id"] for line in found}) == len(found) == number
        return [_without(line, _OF_EACH_LINE) for line in found]

    def access_of(self, path: str, number: int) -> list[dict[str, Any]]:
        """Return the last entries of Envoy's access log for a path, once all sent are there."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.envoy.access_log() if each.get("path") == path]

        wait_until(lambda: len(found()) >= max(number, self._sent[path]))
        return [_without(each, _OF_EACH_ACCESS) for each in found()[-number:]]


def _said(response: HTTPResponse) -> Said:
    body = response.read()
    headers = sorted(
        (name.lower(), value)
        for name, value in response.getheaders()
        if name.lower() not in _OF_EACH
    )
    told = json.loads(body) if body.startswith(b"[") else None
    return Said(response.status, headers, told)


def _without(entry: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}
