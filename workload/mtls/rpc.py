"""gRPC over mTLS: a guard for servers, a channel for clients; both follow rotation.

**Servers** take gRPC's own TLS with certificates that are looked up for every connection
(``dynamic_ssl_server_credentials``): CA, dates and possession of the key are checked there. Who
the peer is gRPC does not check, nor CRLs; the guard does, as an interceptor, at every call: the
whole chain by the trust and the time of that call (``verification``), then who it is.

**Clients**: gRPC's TLS can neither change its certificate nor look at a SPIFFE ID (it matches
host names). So TLS is spoken by ``ssl`` with a ``FollowingContext``, in this process, and gRPC
talks to it over a Unix socket in a folder of ours, where only this process is answered.
"""

import asyncio
import contextlib
import inspect
import logging
import os
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from workload.clock import Now
from workload.mtls.context import Current, FollowingContext
from workload.mtls.peers import MtlsFault, PeerPolicy, PeerRefused
from workload.mtls.verification import ChainVerifier

_log = logging.getLogger("workload.mtls")
_READ_BYTES = 262_144
_CONNECT_SECONDS = 10.0
_FLUSH_SECONDS = 5.0
_BACKLOG = 16
_PEER_CREDENTIALS = struct.Struct("3i")


class GrpcPeerGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Credentials for a server's port, and the interceptor without which they are half.

    ::

        guard = me.grpc_guard(peers=["spiffe://septemcore/ns/edge/*"])
        server = grpc.aio.server(interceptors=[guard])
        server.add_secure_port("0.0.0.0:8443", guard.credentials)
    """

    def __init__(self, source: Current, policy: PeerPolicy, now: Now) -> None:
        self._source = source
        self._policy = policy
        self._now = now
        self._verifier = ChainVerifier()
        self._given: tuple[str, str] | None = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._fetch, require_client_authentication=True
        )

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Wrap the method's handler: the peer is admitted first, or the call is aborted."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            inner = getattr(handler, kind, None)
            if inner is not None:
                return getattr(grpc, f"{kind}_rpc_method_handler")(
                    self._guarded(inner),
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
        return None

    def admit(self, auth_context: Any) -> str:
        """Return the identity of a call's peer. Raises ``PeerRefused``."""
        pems = list(auth_context.get("x509_pem_cert") or ())
        if len(pems) != 1:
            raise PeerRefused("the peer shows no certificate")
        if list(auth_context.get("ssl_tls_version") or ()) != [b"TLSv1.3"]:
            raise PeerRefused("the peer speaks a version before TLS 1.3")
        _, anchors = self._source.current()
        above = auth_context.get("x509_pem_cert_chain") or ()
        resumed = list(auth_context.get("ssl_session_reused") or ()) != [b"false"]
        certificate = self._verifier.verify([*pems, *above], anchors, self._now(), resumed=resumed)
        return self._policy.admit(certificate)

    def _guarded(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(inner):

            async def generate(request: Any, context: Any) -> Any:
                await self._check(context)
                async for each in inner(request, context):
                    yield each

            return generate

        async def call(request: Any, context: Any) -> Any:
            await self._check(context)
            result = inner(request, context)
            if not inspect.isawaitable(result):
                await context.abort(grpc.StatusCode.INTERNAL, "handlers here must be async")
            return await result

        return call

    async def _check(self, context: Any) -> None:
        try:
            self.admit(context.auth_context())
        except (PeerRefused, MtlsFault) as fault:
            _log.warning("a call is denied: %s", fault)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this peer may not call here")

    def _configuration(self) -> Any:
        material, anchors = self._source.current()
        self._given = (material.version, anchors.version)
        return grpc.ssl_server_certificate_configuration(
            [(material.key_pem, material.chain_pem)], root_certificates=anchors.roots_pem
        )

    def _fetch(self) -> Any:
        """Return the configuration for the next connection, ``None`` for the one before."""
        material, anchors = self._source.current()
        if (material.version, anchors.version) == self._given:
            return None
        return self._configuration()


class GrpcTunnel:
    """TLS to one address, for a gRPC channel of this process. An async context manager.

    ``channel`` is a ``grpc.aio.Channel``. A new connection is made with the certificate and
    trust of its time.
    """

    def __init__(
        self, context: FollowingContext, host: str, port: int, options: Sequence[tuple[str, Any]]
    ) -> None:
        context.set_alpn_protocols(["h2"])
        self._context = context
        self._host, self._port = host, port
        self._options = [("grpc.default_authority", f"{host}:{port}"), *options]
        self._stack = AsyncExitStack()
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self.channel: Any = None
        self.last_refusal = ""
        """Why the last connection could not be made; gRPC itself only sees that it ended."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="septem-mtls-"))  # 0700
            path = Path(folder) / "grpc.sock"
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.setblocking(False)
            listener.bind(str(path))
            listener.listen(_BACKLOG)
            loop = asyncio.get_running_loop()
            stack.push_async_callback(self._end_connections)
            # Not sock_accept: cancelled at the wrong moment it would lose a connection.
            loop.add_reader(listener, self._accept, listener)
            stack.callback(loop.remove_reader, listener)
            self.channel = grpc.aio.insecure_channel(f"unix:{path}", options=self._options)
            stack.push_async_callback(self.channel.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def _accept(self, listener: socket.socket) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            return  # it has left already
        if not _is_this_process(near):
            near.close()
            return
        near.setblocking(False)
        task = asyncio.create_task(self._serve(near))
        self._connections[task] = near
        task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Task[None]") -> None:
        """Close what a task has left open: one that was cancelled at once never began."""
        self._connections.pop(task).close()
        if not task.cancelled() and (exc := task.exception()) is not None:
            _log.error("internal error (a bug in septem-workload)", exc_info=exc)

    async def _end_connections(self) -> None:
        tasks = tuple(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, near: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=near)
        try:
            await self._join(reader, writer)
            writer.close()
            async with asyncio.timeout(_FLUSH_SECONDS):
                await writer.wait_closed()
        except OSError:
            pass  # gRPC has left, or reads no more
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport lets go of its socket

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._context, server_hostname=self._host
                )
        except (OSError, MtlsFault) as exc:  # TimeoutError and SSLError are OSErrors
            self.last_refusal = str(exc) or type(exc).__name__
            _log.warning("no connection to %s:%d: %s", self._host, self._port, self.last_refusal)
            return
        self.last_refusal = ""
        ways = [
            asyncio.create_task(_pump(reader, far_writer)),
            asyncio.create_task(_pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # gRPC has sent everything; waiting for a close_notify would keep the socket.
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
        await writer.drain()


def _is_this_process(near: socket.socket) -> bool:
    raw = near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(raw)[0]) == os.getpid()
