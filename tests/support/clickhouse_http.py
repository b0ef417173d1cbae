"""ClickHouse's HTTP interface in front of its engine, for real clients: users, parameters, formats.

The engine has no users. A user here is a password's hash and a tenant, which is put into the
setting of the engine's row filters before each query, as a server does with a pinned setting.
"""

import hashlib
import re
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.support.clickhouse_process import Engine
from tests.support.clickhouse_server import Exc

OF_TRANSPORT = {
    "client_protocol_version", "database", "enable_http_compression", "query", "session_timezone",
    "send_progress_in_http_headers", "http_headers_progress_interval_ms", "wait_end_of_query",
    "cancel_http_readonly_queries_on_client_close", "role", "query_id",
}  # fmt: skip
_ROWS = re.compile(rb"(INSERT INTO .*?)\s+FORMAT Native\n(.*)", re.DOTALL)


class HttpUser(NamedTuple):
    """What the server knows of a user."""

    hash: str
    tenant: str


class EngineHttp:
    """Answers requests one by one, as the engine's one session does."""

    def __init__(self, engine: Engine, users: dict[str, HttpUser], folder: Path) -> None:
        self._engine = engine
        self._users = users
        self._folder = folder
        self._lock = threading.Lock()
        self.asked: list[tuple[str, str]] = []
        """User and text of each query, in order."""

    def answer(self, target: str, authorization: str | None, body: bytes) -> tuple[int, bytes, int]:
        """Return status, body and exception code."""
        given = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
        text = given.get("query", "").encode() + body
        basic = b64decode((authorization or "").removeprefix("Basic ")).decode()
        name, _, password = (basic or "default:").partition(":")
        user = self._users.get(name)
        if user is None or hashlib.sha256(password.encode()).hexdigest() != user.hash:
            return 403, b"AUTHENTICATION_FAILED", 516
        settings = {k: v for k, v in given.items() if k not in OF_TRANSPORT}
        params = {k[6:]: settings.pop(k) for k in list(settings) if k.startswith("param_")}
        if settings.keys() & {"SQL_tenant_id", "log_comment"}:
            return 500, b"SETTING_CONSTRAINT_VIOLATION", 452
        with self._lock:
            try:
                return 200, self._run(user, name, text, params), 0
            except Exc as exc:
                return 500, str(exc).encode(), exc.code

    def _run(self, user: HttpUser, name: str, text: bytes, params: dict[str, str]) -> bytes:
        insert = _ROWS.fullmatch(text)
        query = (insert[1] if insert else text).decode()
        self.asked.append((name, query))
        self._engine.ask(f"SET log_comment = '{user.tenant}'")
        if insert:
            path = self._folder / "rows"
            path.write_bytes(insert[2])
            query = f"{query} FROM INFILE '{path}' FORMAT Native"
        return self._engine.bytes_of(query, params)


@contextmanager
def serving_engine(server: EngineHttp) -> Iterator[int]:
    """Serve on loopback; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            status, answer, code = server.answer(
                self.path, self.headers["authorization"], self._body()
            )
            self.send_response(status)
            if code:
                self.send_header("x-clickhouse-exception-code", str(code))
            self.send_header("content-length", str(len(answer)))
            self.send_header("x-clickhouse-timezone", "UTC")
            self.end_headers()
            self.wfile.write(answer)

        def _body(self) -> bytes:
            if self.headers["transfer-encoding"] != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hung up."""

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield http.server_port
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
