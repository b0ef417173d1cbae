"""WSGI: the tenant is there in whichever thread the pieces of an answer are fetched."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.support.tenancy_world import A, B, context_of
from workload.tenancy.context import TenantUnknown, current_tenant, tenant
from workload.tenancy.edge import Edge, Peer
from workload.tenancy.wsgi import TenantWsgiMiddleware, wsgi_peer


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    for _ in range(3):
        yield current_tenant().tenant_id.encode()


@contextmanager
def served(app: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, handler_class=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, *tenants: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", "/")
    for each in tenants:
        connection.putheader("X-Tenant-Id", each)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_a_real_server_answers_for_each_tenant() -> None:
    with served(TenantWsgiMiddleware(application, Edge(loopback=True))) as port:
        assert ask(port, A) == (200, A.encode() * 3)
        assert ask(port, B) == (200, B.encode() * 3)
        assert ask(port)[0] == 401
        assert ask(port, A, B)[0] == 400
        assert b"tenant_malformed" in ask(port, "x")[1]
    with served(TenantWsgiMiddleware(application, Edge(unix_socket=True))) as port:
        assert ask(port, A)[0] == 403


def test_a_missing_tenant_may_pass_without_any() -> None:
    def public(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with pytest.raises(TenantUnknown):
            current_tenant()
        start_response("204 No Content", [])
        return [b""]

    app = TenantWsgiMiddleware(public, Edge(loopback=True), missing="pass")
    with tenant(context_of(B)):
        assert list(app({"REMOTE_ADDR": "127.0.0.1"}, lambda *_: None)) == [b""]
    with pytest.raises(ValueError, match="missing"):
        TenantWsgiMiddleware(public, Edge(loopback=True), missing="no")  # type: ignore[arg-type]


def test_pieces_are_fetched_by_any_thread() -> None:
    app = TenantWsgiMiddleware(application, Edge(loopback=True))
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_TENANT_ID": A}
    pieces = iter(app(environ, lambda *_: None))
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.extend(pieces))
    with tenant(context_of(B)):
        found.append(next(pieces))
        thread.start()
        thread.join()
    assert found == [A.encode()] * 3


def test_how_a_connection_came() -> None:
    assert wsgi_peer({"REMOTE_ADDR": ""}) == Peer()
    assert wsgi_peer({"REMOTE_ADDR": "192.0.2.1"}) == Peer(address="192.0.2.1")
    near, far = socket.socketpair()
    with near, far:
        assert wsgi_peer({"gunicorn.socket": near, "REMOTE_ADDR": "x"}) == Peer(unix=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as client:
            accepted, _ = listening.accept()
            with accepted:
                environ = {"gunicorn.socket": accepted, "REMOTE_ADDR": "192.0.2.9"}
                assert wsgi_peer(environ) == Peer(address="127.0.0.1")
        assert wsgi_peer({"gunicorn.socket": accepted}) == Peer()  # closed meanwhile
        assert client.fileno() == -1
