"""A proxy before Pebble, for what Pebble does not do on demand: refusals, waits, and ARI."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import requests

from tests.support.pebble import Pebble

PROBLEM = "urn:ietf:params:acme:error:"


class Reply(NamedTuple):
    """What is answered in Pebble's place, once."""

    status: int
    problem: Mapping[str, Any]
    headers: Mapping[str, str]


class AcmeProxy:
    """Passes everything on, but for what it was told."""

    def __init__(self, pebble: Pebble) -> None:
        self._pebble = pebble
        self._replies: dict[str, list[Reply]] = {}
        self.renewal: dict[str, Any] | None = None
        """What ARI says, and then the directory offers it."""
        self.asked: list[str] = []
        """Certificate ids that ARI was asked for."""
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.alters: tuple[bytes, bytes] | None = None
        """What is written in place of what, in every answer."""
        self.port = 0

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    def refuse(self, path: str, problem: str, status: int = 403, **headers: str) -> None:
        """Refuse the next request to a path with one of ACME's problems."""
        body = {"type": PROBLEM + problem, "detail": f"because of {problem}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._replies.setdefault(path, []).append(Reply(status, body, named))

    def reply(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Any:
        if body:
            self.bodies.append((path, json.loads(body)))
        if path.startswith("/renewal-info/") and self.renewal is not None:
            self.asked.append(path.rpartition("/")[2])
            return 200, {"content-type": "application/json", "retry-after": "4000"}, json.dumps(
                self.renewal
            ).encode()  # fmt: skip
        answer = requests.request(
            method, f"https://127.0.0.1:{self._pebble.port}{path}", data=body,
            headers={**headers, "host": f"127.0.0.1:{self.port}"},
            verify=self._pebble.ca_file, timeout=10, allow_redirects=False,
        )  # fmt: skip
        passed = {k: v for k, v in answer.headers.items() if k.lower() not in DROPPED}
        if self._replies.get(path):
            told = self._replies[path].pop()
            passed = {**passed, **told.headers, "content-type": "application/problem+json"}
            return told.status, passed, json.dumps(told.problem).encode()
        content = answer.content
        if self.alters is not None:
            content = content.replace(*self.alters)
        if path == "/dir" and self.renewal is not None:
            offered = {"renewalInfo": f"https://127.0.0.1:{self.port}/renewal-info"}
            content = json.dumps({**answer.json(), **offered}).encode()
        return answer.status_code, passed, content


DROPPED = {"content-length", "transfer-encoding", "connection", "content-encoding"}


@contextmanager
def running_proxy(pebble: Pebble) -> Iterator[AcmeProxy]:
    """Run a proxy with Pebble's own certificate."""
    proxy = AcmeProxy(pebble)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in DROPPED | {"host"}}
            status, headers, content = proxy.reply(self.command, self.path, body, kept)
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = do_any

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pebble.ca_file, pebble.ca_file.replace(".pem", ".key"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
