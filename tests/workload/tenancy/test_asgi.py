"""ASGI: the tenant is there while the application answers, in pieces and on WebSockets too."""

import asyncio
import os
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from demo.process import ManagedProcess, free_ports, listens
from tests.support.authorities import Ca, pem
from tests.support.tenancy_world import A, B, context_of
from workload.tenancy.asgi import Receive, Scope, Send, TenantMiddleware, asgi_peer
from workload.tenancy.context import TenantUnknown, current_tenant, tenant
from workload.tenancy.edge import Edge, Peer

UNIX = {"server": ["/run/app.sock", None], "client": None}


async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
    async def piece(number: int) -> None:
        await asyncio.sleep(0)
        body = current_tenant().tenant_id.encode()
        await send({"type": "http.response.body", "body": body, "more_body": number < 2})

    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(3):
        await asyncio.create_task(piece(number))


async def asked(app: Any, *, kind: str = "http", tenants: Any = (A,), **more: Any) -> Any:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    headers = [(b"x-tenant-id", each.encode()) for each in tenants]
    await app({"type": kind, "headers": headers, **UNIX, **more}, receive, send)
    return sent


async def test_each_piece_of_an_answer_is_its_tenants() -> None:
    app = TenantMiddleware(application, Edge(unix_socket=True))
    answers = await asyncio.gather(*(asked(app, tenants=(each,)) for each in (A, B) * 10))
    for sent, tenant_id in zip(answers, (A, B) * 10, strict=True):
        assert [each["body"].decode() for each in sent[1:]] == [tenant_id] * 3


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"tenants": ()}, 401),
        ({"tenants": (A, A)}, 400),
        ({"tenants": ("x",)}, 400),
        ({"client": ["192.0.2.1", 5]}, 403),
        ({"client": ["127.0.0.1", 5]}, 403),
        ({"server": None}, 403),
        ({"server": ["127.0.0.1", 8000]}, 403),
    ],
)
async def test_a_request_that_may_not_run_is_answered(more: dict[str, Any], expected: int) -> None:
    app = TenantMiddleware(application, Edge(unix_socket=True))
    start, body = await asked(app, **more)
    assert start["status"] == expected
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert b"/run" not in body["body"]
    (closed,) = await asked(app, kind="websocket", **more)
    assert closed == {"type": "websocket.close", "code": 1008}
    extended: Any = {"extensions": {"websocket.http.response": {}}}
    start, _ = await asked(app, kind="websocket", **more, **extended)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", expected)


async def test_a_missing_tenant_may_pass_and_nothing_else() -> None:
    async def public(_scope: Scope, _receive: Receive, send: Send) -> None:
        with pytest.raises(TenantUnknown):
            current_tenant()
        await send({"type": "http.response.start", "status": 204})

    app = TenantMiddleware(public, Edge(unix_socket=True), missing="pass")
    with tenant(context_of(B)):  # whatever the server's task had
        assert (await asked(app, tenants=()))[0]["status"] == 204
        assert (await asked(app, tenants=(), kind="lifespan"))[0]["status"] == 204
    assert (await asked(app, tenants=(A, B)))[0]["status"] == 400
    assert (await asked(app, tenants=(), client=["192.0.2.1", 5]))[0]["status"] == 403
    with pytest.raises(ValueError, match="missing"):
        TenantMiddleware(public, Edge(unix_socket=True), missing="no")  # type: ignore[arg-type]


def test_how_a_connection_came() -> None:
    certificate, _ = Ca("CA").leaf("spiffe://a/b")
    tls = {"client_cert_chain": [pem(certificate)], "client_cert_error": None}
    for scope, peer in (
        (UNIX, Peer(unix=True)),
        ({}, Peer()),
        ({"server": ["127.0.0.1", 1], "client": None}, Peer()),  # a client that has gone
        ({"client": ["127.0.0.1", 0]}, Peer()),  # of X-Forwarded-For
        ({"client": ["127.0.0.1", 7]}, Peer(address="127.0.0.1")),
        ({"extensions": {"tls": tls}}, Peer(certificate=certificate)),
        ({"extensions": {"tls": {**tls, "client_cert_error": "expired"}}}, Peer()),
        ({"extensions": {"tls": {"client_cert_chain": ["no PEM"]}}}, Peer()),
        ({"extensions": {"tls": {"client_cert_chain": []}}}, Peer()),
    ):
        assert asgi_peer(scope) == peer


async def test_another_servers_peer_can_be_told() -> None:
    app = TenantMiddleware(
        application, Edge(loopback=True), peer_of=lambda scope: Peer(address=scope["peer"])
    )
    assert (await asked(app, peer="127.0.0.1"))[0]["status"] == 200
    assert (await asked(app, peer="192.0.2.1"))[0]["status"] == 403


@pytest.fixture
def uvicorn() -> Iterator[Callable[..., None]]:
    """Starts the real server, which ``tools/get-applications`` installs."""
    packages = Path(sysconfig.get_path("data")) / "applications/python"
    if not packages.is_dir():
        pytest.skip(f"no uvicorn in {packages}: run tools/get-applications")
    root = Path(__file__).parents[3]
    path = os.pathsep.join(map(str, (packages, root)))
    with ExitStack() as running:

        def start(name: str, ready: Callable[[], bool], *arguments: str) -> None:
            module = f"tests.workload.tenancy.program_asgi:{name}"
            command = [sys.executable, "-m", "uvicorn", *arguments, module]
            process = ManagedProcess("uvicorn", command, {**os.environ, "PYTHONPATH": path})
            running.enter_context(process).wait_until(ready, 60)

        yield start


def test_uvicorn_on_a_unix_socket_and_on_loopback(
    uvicorn: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "s"

    def ask(family: socket.AddressFamily, address: Any, *lines: str) -> bytes:
        with socket.socket(family) as connection:
            connection.settimeout(10)
            connection.connect(address)
            head = ["GET / HTTP/1.0", *lines, "", ""]
            connection.sendall("\r\n".join(head).encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    uvicorn("by_socket", path.exists, "--uds", str(path))
    given = f"x-tenant-id: {A}"
    assert ask(socket.AF_UNIX, str(path), given).endswith(A.encode())
    assert b"tenant_ambiguous" in ask(socket.AF_UNIX, str(path), given, given)
    assert b"tenant_missing" in ask(socket.AF_UNIX, str(path))
    for name, forwarded, expected in (
        ("by_loopback", (), A.encode()),
        ("by_loopback", ("x-forwarded-for: 127.0.0.1",), b"edge_untrusted"),
        ("by_socket", (), b"edge_untrusted"),
    ):
        (port,) = free_ports(1)
        uvicorn(name, partial(listens, port), "--port", str(port))
        assert expected in ask(socket.AF_INET, ("127.0.0.1", port), given, *forwarded)
