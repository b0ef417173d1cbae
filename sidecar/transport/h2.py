"""The fast engine: unary gRPC on libnghttp2 and the event loop's own sockets.

One read is one batch: everything that arrived is answered, then written with one call. A peer
that does not read is not read from either; a silent one is pinged, then disconnected.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import cast

import ngh2

from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.health import HEALTH_CHECK, HealthStatus
from sidecar.transport.limits import BufferAccount, Limits
from sidecar.transport.sockets import (
    ListenFault,
    inode_of,
    open_listeners,
    path_of,
    remove_own_socket,
)
from sidecar.transport.unary import UnaryConnection

Handle = Callable[[bytes], bytes | Awaitable[bytes]]
SWEEP_SECONDS = 1.0
KEEPALIVE_SECONDS = 30.0
KEEPALIVE_TIMEOUT_SECONDS = 10.0
MAX_CONNECTIONS = 1024
NOTICE_SECONDS = 0.25
_BACKLOG = 1024
_MAX_UNWRITTEN_BYTES = 1_048_576
_GATHER_SECONDS = 0.002
"""Pending answers are collected for this long and written together."""
_DEFECT = (GrpcStatus.INTERNAL, "the call failed")


class H2Server:
    """Listens on ``host:port`` or ``unix:/path`` and serves unary methods by full path.

    ``handlers`` maps ``/package.Service/Method`` to a function of the message's bytes. An
    exception out of one is INTERNAL to the caller and goes to ``on_fault``. In addition it
    serves ``grpc.health.v1.Health/Check``.
    """

    def __init__(
        self,
        address: str,
        handlers: Mapping[str, Handle],
        *,
        limits: Limits,
        clock: Callable[[], float],
        on_fault: Callable[[Exception], None],
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.address = address
        self._max_connections = max_connections
        self.health = HealthStatus(service_of(handlers))
        self.bound_address = address
        served = {**handlers, HEALTH_CHECK: self.health.check}
        self.handlers = {path.encode("ascii"): handle for path, handle in served.items()}
        self.paths = frozenset(self.handlers)
        self.limits = limits
        self.buffered = BufferAccount()
        self.clock = clock
        self.on_fault = on_fault
        self.connections: set[_Connection] = set()
        self._idle = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._inode = 0
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, listeners: Sequence[socket.socket] = ()) -> None:
        """Start listening, on ``listeners`` if they are bound already.

        Raises ``ListenFault`` for an address that is in use or not this machine's.
        """
        loop = asyncio.get_running_loop()
        path = path_of(self.address)
        create = loop.create_server if path is None else loop.create_unix_server
        try:
            for listener in listeners or open_listeners(self.address):
                self._servers.append(
                    await create(lambda: _Connection(self), sock=listener, backlog=_BACKLOG)
                )
                if path is not None:
                    self._inode = inode_of(path)
                else:
                    port = listener.getsockname()[1]
                    self.bound_address = f"{self.address.rpartition(':')[0]}:{port}"
        except OSError as exc:
            raise ListenFault(f"cannot listen on {self.address}: {exc.strerror}") from exc
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, grace_seconds: float) -> None:
        """Accept no new connection or call, answer those in flight, then close."""
        if self._sweeper is None:
            return
        for server in self._servers:
            server.close()
        self._remove_socket()
        self._idle.clear()
        for connection in tuple(self.connections):
            connection.announce_drain()
        # Calls that were sent before the client read the notice are still answered.
        await self._wait_idle(min(NOTICE_SECONDS, grace_seconds / 2))
        for connection in tuple(self.connections):
            connection.drain()
        await self._wait_idle(grace_seconds / 2)
        for connection in tuple(self.connections):
            connection.abort()
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    def _remove_socket(self) -> None:
        """Remove the Unix socket, unless a successor has put its own there.

        A confined worker can't; the main process does it.
        """
        if (path := path_of(self.address)) is not None:
            remove_own_socket(path, self._inode)

    def admit(self, connection: "_Connection") -> bool:
        """Accept a new connection; at the limit, the quietest one without calls is closed for it.

        False if all have calls in flight.
        """
        if len(self.connections) >= self._max_connections:
            idle = (each for each in self.connections if each.is_idle)
            quietest = min(idle, key=lambda each: each.heard, default=None)
            if quietest is None:
                return False
            self.connections.discard(quietest)
            quietest.abort()
        self.connections.add(connection)
        return True

    async def _wait_idle(self, seconds: float) -> None:
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)

    def forget(self, connection: "_Connection") -> None:
        """Remove a connection that has closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._idle.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.clock()
            for connection in tuple(self.connections):
                connection.sweep(now)


class _Connection(asyncio.Protocol):
    """One peer: moves bytes between its socket and a ``UnaryConnection``."""

    __slots__ = (
        "_clock",
        "_draining",
        "_gathering",
        "_grpc",
        "_pinged",
        "_server",
        "_transport",
        "_waiting",
        "heard",
    )

    def __init__(self, server: H2Server) -> None:
        self._server = server
        self._clock = server.clock
        self._grpc = UnaryConnection(
            server.paths, self._dispatch, server.limits, self._abandon, server.buffered
        )
        self._transport: asyncio.Transport
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._gathering: asyncio.TimerHandle | None = None
        self.heard = server.clock()
        self._pinged = False
        self._draining = False

    @property
    def is_idle(self) -> bool:
        """Whether no complete call is pending here; incomplete ones do not count."""
        return not self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's own class, of the same interface
        self._transport = stream
        if not self._server.admit(self):
            stream.abort()
            return
        stream.set_write_buffer_limits(high=_MAX_UNWRITTEN_BYTES)
        stream.write(self._grpc.outgoing())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._server.forget(self)
        for stream_id in tuple(self._waiting):
            self._abandon(stream_id)
        self._grpc.close()

    def data_received(self, data: bytes) -> None:
        now = self.heard = self._clock()
        self._pinged = False
        try:
            self._grpc.receive(data, now)
        except ngh2.NGH2Error:
            self._flush()
            self._transport.close()
            return
        except Exception as exc:  # noqa: BLE001 - the connection's edge
            self._close_on_error(exc)
            return
        self._flush()

    def pause_writing(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Fail late calls, ping a quiet peer, disconnect a silent one. Never raises."""
        try:
            self._sweep(now)
        except Exception as exc:  # noqa: BLE001 - the timer continues, for every other connection
            self._close_on_error(exc)

    def _sweep(self, now: float) -> None:
        self._grpc.expire(now)
        quiet_seconds = now - self.heard
        if quiet_seconds > KEEPALIVE_SECONDS + KEEPALIVE_TIMEOUT_SECONDS:
            self._transport.abort()
            return
        if quiet_seconds > KEEPALIVE_SECONDS and not self._pinged:
            self._pinged = True
            self._grpc.ping()
        self._flush()

    def announce_drain(self) -> None:
        """Announce the shutdown: the peer sends its next calls elsewhere."""
        self._grpc.announce_drain()
        self._flush()

    def drain(self) -> None:
        """Refuse new calls; close when those in flight are answered."""
        self._draining = True
        self._grpc.drain()
        self._flush()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def _close_on_error(self, exc: Exception) -> None:
        """Close at once: after an unexpected exception the connection's state can't be trusted.

        libnghttp2's exceptions mean that the peer violated the protocol, and are not reported.
        """
        if not isinstance(exc, ngh2.NGH2Error):
            self._server.on_fault(exc)
        self._transport.abort()

    def _flush(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if self._transport.is_closing():
            return
        try:
            data = self._grpc.outgoing()
        except Exception as exc:  # noqa: BLE001 - a timer and every answer come here
            self._close_on_error(exc)
            return
        if data:
            self._transport.write(data)
        if (self._draining and not self._grpc.open_calls) or self._grpc.finished:
            self._transport.close()

    def _dispatch(self, stream_id: int, path: bytes, message: bytes) -> bytes | None:
        try:
            answer = self._server.handlers[path](message)
        except RpcError:
            raise
        except Exception as exc:
            self._server.on_fault(exc)
            raise RpcError(*_DEFECT) from exc
        if type(answer) is bytes:
            return answer
        future = asyncio.ensure_future(cast("Awaitable[bytes]", answer))
        self._waiting[stream_id] = future
        future.add_done_callback(partial(self._answer_later, stream_id))
        return None

    def _abandon(self, stream_id: int) -> None:
        """Cancel a call whose caller has left, and the work that is still queued for it."""
        future = self._waiting.pop(stream_id, None)
        if future is not None:
            future.cancel()

    def _answer_later(self, stream_id: int, future: "asyncio.Future[bytes]") -> None:
        """Send a pending answer. Never raises: it is a future's callback."""
        if self._waiting.pop(stream_id, None) is None:
            return  # cancelled by ``_abandon``
        try:
            self._answer(stream_id, future)
        except Exception as exc:  # noqa: BLE001 - the connection's edge
            self._close_on_error(exc)
            return
        if not self._waiting:
            self._flush()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHER_SECONDS, self._flush)

    def _answer(self, stream_id: int, future: "asyncio.Future[bytes]") -> None:
        if future.cancelled():  # by its worker: the caller is still there
            self._grpc.fail(stream_id, *_DEFECT)
            return
        exc = future.exception()
        if exc is None:
            self._grpc.respond(stream_id, future.result())
        elif isinstance(exc, RpcError):
            self._grpc.fail(stream_id, exc.status, exc.message)
        elif isinstance(exc, Exception):
            self._server.on_fault(exc)
            self._grpc.fail(stream_id, *_DEFECT)


def service_of(handlers: Mapping[str, Handle]) -> str:
    """Return the service whose methods are served, which is a name for health checks."""
    return next(iter(handlers)).split("/")[1]
