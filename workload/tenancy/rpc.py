"""gRPC interceptors: the call's tenant, from its metadata, for unary and streaming methods.

::

    grpc.aio.server(interceptors=[guard, AioTenantInterceptor(Edge(spiffe_ids=("spiffe://…",)))])
    grpc.server(pool, interceptors=[TenantInterceptor(Edge(unix_socket=True))])

Where clients show certificates put ``workload.mtls``'s guard before it: gRPC verifies a chain,
and knows no CRLs.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal
from urllib.parse import unquote

import grpc
from cryptography import x509

from workload.tenancy.context import ContextIterator, TenantContext, context_for, request_scope
from workload.tenancy.edge import Edge, Peer, TenantDenied

_log = logging.getLogger("workload.tenancy")
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
}


class _Reader:
    """What both interceptors do with a call before its method runs."""

    def __init__(self, edge: Edge, *, missing: Literal["deny", "pass"] = "deny") -> None:
        if missing not in {"deny", "pass"}:
            raise ValueError(f"missing is 'deny' or 'pass', not {missing!r}")
        self._edge = edge
        self._missing = missing

    def _read(self, context: Any) -> TenantContext | None:
        metadata = (
            (key, value if isinstance(value, str) else value.decode("latin-1"))
            for key, value in context.invocation_metadata() or ()
        )
        try:
            return self._edge.read(grpc_peer(context), metadata)
        except TenantDenied as denied:
            if denied.reason == "tenant_missing" and self._missing == "pass":
                return None
            _log.warning("a call is denied: %s", denied)
            raise


class TenantInterceptor(_Reader, grpc.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """For ``grpc.server``: methods run in threads, each call in a context of its own."""

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        """Wrap the method's handler, of whichever kind."""
        return _rewrapped(continuation(handler_call_details), self._guarded)

    def _guarded(self, inner: Callable[..., Any], streams: bool) -> Callable[..., Any]:
        def call(request: Any, context: Any) -> Any:
            try:
                running = context_for(self._read(context))
            except TenantDenied as denied:
                context.abort(_CODES[denied.status], denied.reason)
            result = running.run(inner, request, context)
            return ContextIterator(running, result) if streams else result

        return call


class AioTenantInterceptor(_Reader, grpc.aio.ServerInterceptor):  # type: ignore[misc]  # no types
    """For ``grpc.aio``: a method runs in its call's task."""

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Wrap the method's handler, of whichever kind."""
        return _rewrapped(await continuation(handler_call_details), self._guarded)

    def _guarded(self, inner: Callable[..., Any], streams: bool) -> Callable[..., Any]:
        if streams and inspect.isasyncgenfunction(inner):

            async def generate(request: Any, context: Any) -> Any:
                with request_scope(await self._checked(context)):
                    async for each in inner(request, context):
                        yield each

            return generate

        async def call(request: Any, context: Any) -> Any:
            with request_scope(await self._checked(context)):
                result = inner(request, context)
                if not inspect.isawaitable(result):
                    await context.abort(grpc.StatusCode.INTERNAL, "handlers here must be async")
                return await result

        return call

    async def _checked(self, context: Any) -> TenantContext | None:
        try:
            return self._read(context)
        except TenantDenied as denied:
            await context.abort(_CODES[denied.status], denied.reason)
            raise


def grpc_peer(context: Any) -> Peer:
    """Read how a call came: ``unix:…``, ``ipv4:address:port`` or ``ipv6:[address]:port``."""
    kind, _, rest = unquote(context.peer()).partition(":")
    if kind in {"unix", "unix-abstract"}:
        return Peer(unix=True)
    address = None
    if kind in {"ipv4", "ipv6"}:
        address = rest.rpartition(":")[0].strip("[]")
    pems = list((context.auth_context() or {}).get("x509_pem_cert") or ())
    try:
        certificate = x509.load_pem_x509_certificate(pems[0]) if len(pems) == 1 else None
    except ValueError:
        certificate = None
    return Peer(address=address, certificate=certificate)


def _rewrapped(handler: Any, guarded: Callable[[Callable[..., Any], bool], Any]) -> Any:
    for kind, inner in _inners(handler):
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            guarded(inner, kind.endswith("_stream")),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    return None


def _inners(handler: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for kind in _KINDS:
        inner = getattr(handler, kind, None)
        if inner is not None:
            yield kind, inner
