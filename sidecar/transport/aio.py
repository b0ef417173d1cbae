"""grpcio's asyncio server: carries the Check, and SDS, health and reflection.

The Check is registered with raw bytes, so that ``handle`` sees what Envoy sent and
grpcio's own (de)serialisation costs nothing.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sidecar.transport.grpc_headers import CarryTrace, read_trace
from sidecar.transport.names import CHECK_SERVICE
from sidecar.transport.ports import JOINS
from sidecar.transport.sockets import (
    ListenFault,
    fresh_name,
    path_of,
    put_in_place,
    remove_own_socket,
)

MAX_CONNECTIONS = 1024
_MAX_CONCURRENT_RPCS = 10_000
_MAX_STREAMS_PER_CONNECTION = 2048
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
_HANDSHAKE_MS, _IDLE_MS = 10_000, 60_000
"""A peer that sends no HTTP/2, answers no ping or has no call for this long is disconnected."""


class HealthReporter:
    """``grpc.health.v1`` for the whole server and for one service, set together."""

    def __init__(self, service: str) -> None:
        self._servicer = health.aio.HealthServicer()
        self._names = ("", service)

    async def set_serving(self, serving: bool) -> None:
        """Set the status of the whole server and of the service."""
        await self.set_status(dict.fromkeys(self._names, serving))

    async def set_status(self, statuses: Mapping[str, bool]) -> None:
        """Set the status of further names, such as one for each key state."""
        status = health_pb2.HealthCheckResponse
        for name, serving in statuses.items():
            await self._servicer.set(name, status.SERVING if serving else status.NOT_SERVING)

    def register(self, server: grpc.aio.Server) -> None:
        """Add the service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)


class GrpcServer:
    """One listening grpc.aio server with health and reflection.

    ``address`` is ``host:port`` or ``unix:/path``; with port 0 ``bound_address`` has
    the real one once started.
    """

    def __init__(
        self,
        address: str,
        service: str,
        handlers: Sequence[grpc.GenericRpcHandler],
        *,
        max_message_bytes: int,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.address = address
        self.bound_address = address
        self._folder = -1
        """Of a Unix socket: grpcio knows the socket by this descriptor, which is short."""
        self._inode = 0
        self.health = HealthReporter(service)
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", int(JOINS.get())),
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_metadata_size", 65_536),
                ("grpc.http2.max_ping_strikes", 0),
                ("grpc.max_allowed_incoming_connections", max_connections),
                ("grpc.max_concurrent_streams", _MAX_STREAMS_PER_CONNECTION),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
            ),
            maximum_concurrent_rpcs=_MAX_CONCURRENT_RPCS,
        )
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self.health.register(self._server)
        names = (service, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self) -> None:
        """Start listening. Raises ``ListenFault`` for an address in use or not this machine's."""
        path = path_of(self.address)
        if path is not None:
            await self._start_on_unix_socket(path)
            return
        port = self._add_port(self.address)
        self.bound_address = f"{self.address.rpartition(':')[0]}:{port}"
        await self._server.start()

    async def _start_on_unix_socket(self, path: Path) -> None:
        """Listen under a fresh name, which is the one that grpcio unlinks when it stops."""
        bound = fresh_name(path)
        try:
            self._folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._add_port(f"unix:/proc/self/fd/{self._folder}/{bound.name}")
            await self._server.start()
            self._inode = put_in_place(bound, path)
        except OSError as exc:
            raise ListenFault(f"cannot listen on {self.address}: {exc.strerror}") from exc

    def _add_port(self, address: str) -> int:
        try:
            return int(self._server.add_insecure_port(address))
        except RuntimeError as exc:
            raise ListenFault(
                f"cannot listen on {self.address}: it is in use, or not an address of this machine"
            ) from exc

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, let those in flight end within ``grace_seconds``."""
        path = path_of(self.address)
        if path is not None:
            remove_own_socket(path, self._inode)
        await self._server.stop(grace_seconds)
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def _trace_of(context: "grpc.aio.ServicerContext[bytes, bytes]", carry_trace: CarryTrace) -> bytes:
    """Return what a call appends to its message."""
    metadata = context.invocation_metadata() or ()
    headers = tuple(
        (key.encode(), value.encode() if isinstance(value, str) else value)
        for key, value in metadata
    )
    at, tracestate = read_trace(headers)
    return b"" if at < 0 else carry_trace(headers[at][1], tracestate)


def check_handlers(
    handle: Callable[[bytes], bytes | Awaitable[bytes]],
    on_fault: Callable[[Exception], None],
    carry_trace: CarryTrace | None = None,
) -> Sequence[grpc.GenericRpcHandler]:
    """Wrap ``handle`` as the handler of ``Authorization/Check``.

    An exception out of it is INTERNAL to the caller and goes to ``on_fault``. With
    ``carry_trace``, what it makes of a call's trace context is appended to its message.
    """

    async def check(raw: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            if carry_trace is not None:
                raw += _trace_of(context, carry_trace)
            answer = handle(raw)
            return answer if isinstance(answer, bytes) else await answer
        except Exception as exc:  # noqa: BLE001 - the call's edge
            on_fault(exc)
        await context.abort(grpc.StatusCode.INTERNAL, "the call failed")
        return b""  # it raises

    method = grpc.unary_unary_rpc_method_handler(check)
    return (grpc.method_handlers_generic_handler(CHECK_SERVICE, {"Check": method}),)
