"""The admin port's client: what each answer means, and what is no admin port."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from sidecar.cli.admin_client import AdminFault, ask_admin


class AnsweringServer(HTTPServer):
    """Answers every request with what it holds, and keeps the request."""

    status: int
    body: bytes
    asked: tuple[str, str]


class Handler(BaseHTTPRequestHandler):
    server: AnsweringServer

    def do_GET(self) -> None:
        self.server.asked = (self.command, self.path)
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: AnsweringServer, status: int, body: Any, **query: str) -> dict[str, Any]:
    server.status = status
    server.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask_admin(f"127.0.0.1:{server.server_port}", "POST", "/act", absent="not here", **query)


def test_a_request_has_its_query_encoded(server: AnsweringServer) -> None:
    assert ask(server, 200, {"state": "held"}, name="*.shop ü&x") == {"state": "held"}
    assert server.asked == ("POST", "/act?name=%2A.shop+%C3%BC%26x")
    ask(server, 200, {})
    assert server.asked == ("POST", "/act")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, {}, "not here"),
        (404, {"error": "no certificate has this name"}, "no certificate has this name"),
        (409, {"error": "renewed less than a minute ago"}, "renewed less than a minute ago"),
        (503, {}, "the admin port answered 503"),
        (201, {}, "the admin port answered 201"),
        (200, b"<html>", "is not the admin port of a sidecar: check --admin or --config"),
        (200, b"[]", "is not the admin port of a sidecar"),
        (200, b"[" * 100_000, "is not the admin port of a sidecar"),
        (404, b"nginx", "is not the admin port of a sidecar"),
    ],
    ids=[
        "a path that this one has not", "a name that it has not", "refused", "no words",
        "only 200 is success", "a page", "a list", "nested too deeply", "another server",
    ],
)  # fmt: skip
def test_what_is_refused_is_said(
    server: AnsweringServer, status: int, body: Any, said: str
) -> None:
    with pytest.raises(AdminFault) as fault:
        ask(server, status, body)
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"at 127\.0\.0\.1:1 does not answer \(Connection refused\)"),
        ("unix:/nowhere/admin.sock", "does not answer .No such file or directory."),
        ("localhost", r"the admin port 'localhost' must be host:port, \[IPv6\]:port or unix:/path"),
        ("127.0.0.1:65536", "must have a port of at most 65535"),
        ("a b:1", "must be host:port"),
        ("http://localhost:9102", "must be host:port"),
        ("127.0.0.1:http", "must be host:port"),
    ],
)
def test_an_address_where_nobody_answers(address: str, said: str) -> None:
    with pytest.raises(AdminFault, match=said):
        ask_admin(address, "GET", "/certificates")
