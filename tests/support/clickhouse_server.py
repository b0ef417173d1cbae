"""A server that speaks ClickHouse's HTTP interface as far as inserts go, and truly stores rows.

No server of today's ClickHouse can be installed here, so this stands for one. It believes nothing:
the user, the key, the settings and the query are checked, a body is unpacked by what its header
says, each row is read by the types of the table's own DDL, and a token that was seen is not
inserted twice. ``faults`` are answered in turn before anything is inserted, or after it, as a
server does whose answer gets lost. ``make test-clickhouse`` has the same inserts done by the real
engine.
"""

import gzip
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

DDL = (Path(__file__).parents[2] / "deploy/clickhouse/audit.sql").read_text()
OURS = {"X-ClickHouse-Query-Id": "a-uuid", "X-ClickHouse-Summary": "{}"}
KNOWN_SETTINGS = {
    "async_insert": "0",
    "wait_end_of_query": "1",
    "input_format_skip_unknown_fields": "1",
    "date_time_input_format": "best_effort",
    "insert_deduplicate": "1",
}
"""What an insert must be made with; the token comes besides."""


class Exc(Exception):
    """An exception of ClickHouse."""

    def __init__(self, code: int, name: str, status: int = 500) -> None:
        super().__init__(
            f"Code: {code}. DB::Exception: It quotes 'eyJ.a.secret' of a row. ({name})"
        )
        self.code = code
        self.status = status


class TooLarge(Exception):
    """What a proxy in front of it refuses."""


class Fault(NamedTuple):
    """An answer other than the right one."""

    status: int = 500
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    inserts: bool = False
    """Whether the rows are inserted nevertheless."""
    act: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Done in place of an answer."""


def columns() -> dict[str, str]:
    """The columns of the DDL, with their types."""
    (body,) = re.findall(r"CREATE TABLE[^(]+\((.*?)\n\)\n", DDL, re.DOTALL)
    pattern = r"^    ([a-z0-9_]+) ([A-Z]\w+(?:\([^()]*(?:\([^()]*\))?[^()]*\))?)"
    return dict(re.findall(pattern, body, re.MULTILINE))


def read(kind: str, value: Any) -> Any:
    """Read a value by its column's type. Raises ``Exc``."""
    if kind.startswith("LowCardinality("):
        kind = kind[15:-1]
    if kind.startswith("Array("):
        if not isinstance(value, list):
            raise Exc(130, "CANNOT_READ_ARRAY_FROM_TEXT")
        return [read(kind[6:-1], each) for each in value]
    if kind.startswith("DateTime"):
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise Exc(41, "CANNOT_PARSE_DATETIME") from None
    if kind.startswith("UInt"):
        if not isinstance(value, int) or not 0 <= value < 2 ** int(kind[4:]):
            raise Exc(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED")
        return value
    if isinstance(value, dict):
        return json.dumps(value)  # input_format_json_read_objects_as_strings, which is the default
    if not isinstance(value, str):
        raise Exc(26, "CANNOT_PARSE_QUOTED_STRING")
    return value


class ClickHouseServer:
    """The server, its one table, and what it was asked."""

    def __init__(self, user: str = "default", key: str | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.inserts: list[int] = []
        """The rows of each insert that was asked for."""
        self.tokens: set[str] = set()
        self.faults: list[Fault] = []
        self.user, self.key = user, key
        self.table: str | None = "`septem`.`audit`"
        self.connections = 0
        self.max_body = 1 << 30
        self._columns = columns()
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        return [row["decision_id"] for row in self.rows]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        fault = self.faults.pop(0) if self.faults else None
        try:
            if fault is None or fault.inserts:
                self._insert(request, body)
        except Exc as exc:
            code = {"X-ClickHouse-Exception-Code": str(exc.code)}
            return answer(request, exc.status, str(exc).encode(), code)
        except TooLarge:
            return answer(request, 413, b"<html>", {})
        if fault is None:
            return answer(request, 200, b"", OURS)
        if fault.act is not None:
            return fault.act(request)
        return answer(request, fault.status, fault.body, fault.headers)

    def _insert(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        given = dict(parse_qsl(urlsplit(request.path).query))
        query, token = given.pop("query", ""), given.pop("insert_deduplication_token", "")
        if request.headers["X-ClickHouse-User"] != self.user or (
            self.key is not None and request.headers["X-ClickHouse-Key"] != self.key
        ):
            raise Exc(516, "AUTHENTICATION_FAILED", 403)
        if given != KNOWN_SETTINGS or not re.fullmatch(r"[0-9a-f]{64}", token):
            raise Exc(115, "UNKNOWN_SETTING", 404)
        if self.table is None or query != f"INSERT INTO {self.table} FORMAT JSONEachRow":
            raise Exc(60, "UNKNOWN_TABLE", 404)
        if len(body) > self.max_body:
            raise TooLarge
        if request.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        lines = body.splitlines()
        with self._lock:
            self.inserts.append(len(lines))
            rows = [self._row(line) for line in lines]
            if token not in self.tokens:
                self.tokens.add(token)
                self.rows += rows

    def _row(self, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            raise Exc(117, "INCORRECT_DATA", 400) from None
        return {
            name: read(self._columns[name], value)
            for name, value in row.items()
            if name in self._columns
        }


def answer(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def serving(server: ClickHouseServer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on loopback, with TLS where there is a context; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def do_POST(self) -> None:
            server.handle(self)

        def log_message(self, *_: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hung up is part of some tests."""

    http = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'s' * (context is not None)}://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
