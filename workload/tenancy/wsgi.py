"""WSGI middleware: the request's tenant, for the call and for the pieces of its answer.

::

    app = TenantWsgiMiddleware(app, Edge(unix_socket=True))   # Flask, Django, Pyramid
"""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, Literal

from cryptography import x509

from workload.tenancy.answers import problem
from workload.tenancy.context import ContextIterator, TenantContext, context_for
from workload.tenancy.edge import Edge, Peer, TenantDenied

Environ = dict[str, Any]
WsgiApplication = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_log = logging.getLogger("workload.tenancy")


class TenantWsgiMiddleware:
    """Runs ``app`` with the tenant of each request, or answers for it.

    ``missing`` and ``peer_of`` are those of ``workload.tenancy.asgi.TenantMiddleware``. Servers
    join a header that came twice by a comma, which no identifier of a tenant has; they fold
    ``x_tenant_id`` into the same variable, which the edge lets nobody send.
    """

    def __init__(
        self,
        app: WsgiApplication,
        edge: Edge,
        *,
        missing: Literal["deny", "pass"] = "deny",
        peer_of: Callable[[Environ], Peer] | None = None,
    ) -> None:
        if missing not in {"deny", "pass"}:
            raise ValueError(f"missing is 'deny' or 'pass', not {missing!r}")
        self._app = app
        self._edge = edge
        self._missing = missing
        self._peer_of = peer_of or wsgi_peer

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request; its answer is iterated in the same context, by whichever thread."""
        context: TenantContext | None
        try:
            context = self._edge.read(self._peer_of(environ), _headers(environ))
        except TenantDenied as denied:
            if denied.reason != "tenant_missing" or self._missing != "pass":
                _log.warning("a request is denied: %s", denied)
                status, headers, body = problem(denied)
                start_response(f"{status} {HTTPStatus(status).phrase}", headers)
                return [body]
            context = None
        running = context_for(context)
        return ContextIterator(running, running.run(self._app, environ, start_response))


def wsgi_peer(environ: Environ) -> Peer:
    """Read how a connection came.

    gunicorn hands over the socket itself, which knows; of other servers there is
    ``REMOTE_ADDR``, and a Unix socket is not told from a client that is unknown: give
    ``peer_of`` there.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return Peer(address=environ.get("REMOTE_ADDR") or None)
    if connection.family == socket.AF_UNIX:
        return Peer(unix=True)
    try:
        address = str(connection.getpeername()[0])
        der = getattr(connection, "getpeercert", lambda **_: None)(binary_form=True)
        return Peer(
            address=address, certificate=x509.load_der_x509_certificate(der) if der else None
        )
    except (OSError, ValueError):
        return Peer()


def _headers(environ: Environ) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-"), str(value)
