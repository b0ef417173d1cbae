"""ASGI middleware (HTTP and WebSocket): the request's tenant, for the application it wraps.

::

    app = TenantMiddleware(app, Edge(unix_socket=True))     # FastAPI, Starlette, Django, Quart

Run uvicorn with ``--no-proxy-headers``: what it makes of ``X-Forwarded-For`` is not the peer.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal

from cryptography import x509

from workload.tenancy.answers import problem
from workload.tenancy.context import request_scope
from workload.tenancy.edge import Edge, Peer, TenantDenied

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("workload.tenancy")
_POLICY_VIOLATION = 1008


class TenantMiddleware:
    """Runs ``app`` with the tenant of each request, or answers for it.

    ``missing="pass"`` lets a request without ``x-tenant-id`` through without a tenant, for the
    edge's public routes; the database's guards still refuse it. What is not the edge's, or is
    ambiguous or malformed, is refused all the same. ``peer_of`` says how a connection came,
    where the server says it in another way than ``asgi_peer`` reads.
    """

    def __init__(
        self,
        app: AsgiApplication,
        edge: Edge,
        *,
        missing: Literal["deny", "pass"] = "deny",
        peer_of: Callable[[Scope], Peer] | None = None,
    ) -> None:
        if missing not in {"deny", "pass"}:
            raise ValueError(f"missing is 'deny' or 'pass', not {missing!r}")
        self._app = app
        self._edge = edge
        self._missing = missing
        self._peer_of = peer_of or asgi_peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope; ``lifespan`` has no tenant, and none is left in it."""
        if scope["type"] not in {"http", "websocket"}:
            with request_scope(None):
                await self._app(scope, receive, send)
            return
        try:
            context = self._edge.read(self._peer_of(scope), _headers(scope["headers"]))
        except TenantDenied as denied:
            if denied.reason != "tenant_missing" or self._missing != "pass":
                _log.warning("a request is denied: %s", denied)
                await _refuse(scope, send, denied)
                return
            context = None
        with request_scope(context):
            await self._app(scope, receive, send)


def asgi_peer(scope: Scope) -> Peer:
    """Read how a connection came from an ASGI scope.

    A Unix socket is known by the server's own address (``[path, None]``): a client without an
    address may also be one that has gone. A port 0 is no peer's; uvicorn writes it beside what
    ``X-Forwarded-For`` said.
    """
    server, client = scope.get("server"), scope.get("client")
    if server and str(server[0]).startswith("/") and server[1] is None and not client:
        return Peer(unix=True)
    address = str(client[0]) if client and client[1] else None
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = tls.get("client_cert_chain") or []
    certificate = None
    if chain and not tls.get("client_cert_error"):
        try:
            certificate = x509.load_pem_x509_certificate(next(iter(chain)).encode())
        except (ValueError, AttributeError):
            certificate = None
    return Peer(address=address, certificate=certificate)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


async def _refuse(scope: Scope, send: Send, denied: TenantDenied) -> None:
    status, headers, body = problem(denied)
    raw = [(name.encode(), value.encode()) for name, value in headers]
    kind = "http"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        kind = "websocket.http"
    await send({"type": f"{kind}.response.start", "status": status, "headers": raw})
    await send({"type": f"{kind}.response.body", "body": body, "more_body": False})
