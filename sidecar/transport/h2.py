"""The server of the fast engine: unary gRPC on libnghttp2 and the event loop's own sockets.

It listens, bounds its connections (``h2_connection``), and drains them at the end.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence

from sidecar.transport.grpc_headers import CarryTrace
from sidecar.transport.h2_connection import H2Connection, Handle
from sidecar.transport.health import HEALTH_CHECK, HealthStatus
from sidecar.transport.limits import BufferAccount, Limits
from sidecar.transport.ports import JOINS
from sidecar.transport.sockets import (
    ListenFault,
    bind_unix,
    fresh_name,
    open_listeners,
    path_of,
    put_in_place,
    remove_own_socket,
)

SWEEP_SECONDS = 1.0
MAX_CONNECTIONS = 1024
NOTICE_SECONDS = 0.25
_BACKLOG = 1024


class H2Server:
    """Listens on ``host:port`` or ``unix:/path`` and serves unary methods by full path.

    ``handlers`` maps ``/package.Service/Method`` to a function of the message's bytes. An
    exception out of one is INTERNAL to the caller and goes to ``on_fault``. ``traces`` has for a
    method what makes of a call's trace context what is appended to its message. In addition it
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
        traces: Mapping[str, CarryTrace] | None = None,
    ) -> None:
        self.traces: Mapping[bytes, CarryTrace] = {
            path.encode("ascii"): each for path, each in (traces or {}).items()
        }
        self.address = address
        self._max_connections = max_connections
        self.health = HealthStatus(service_of(handlers))
        self.bound_address = address
        served = {**handlers, HEALTH_CHECK: self.health.check}
        self.handlers: Mapping[bytes, Handle] = {
            path.encode("ascii"): handle for path, handle in served.items()
        }
        self.paths = frozenset(self.handlers)
        self.limits = limits
        self.buffered = BufferAccount()
        self.clock = clock
        self.on_fault = on_fault
        self.connections: set[H2Connection] = set()
        self._idle = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._inode = 0
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, listeners: Sequence[socket.socket] = ()) -> None:
        """Start listening, on ``listeners`` if they are bound already.

        Raises ``ListenFault`` for an address that is in use or not this machine's.
        """
        path = path_of(self.address)
        try:
            if path is None:
                await self._listen_on_host(listeners)
            elif listeners:  # the main process gives it its name
                await self._listen(listeners[0], is_unix=True)
            else:
                bound = fresh_name(path)
                await self._listen(bind_unix(bound), is_unix=True)
                self._inode = put_in_place(bound, path)
        except OSError as exc:
            raise ListenFault(f"cannot listen on {self.address}: {exc.strerror}") from exc
        self._sweeper = asyncio.create_task(self._sweep())

    async def _listen_on_host(self, listeners: Sequence[socket.socket]) -> None:
        for listener in listeners or open_listeners(self.address, joins=JOINS.get()):
            await self._listen(listener, is_unix=False)
            port = listener.getsockname()[1]
            self.bound_address = f"{self.address.rpartition(':')[0]}:{port}"

    async def _listen(self, listener: socket.socket, *, is_unix: bool) -> None:
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if is_unix else loop.create_server
        self._servers.append(
            await create(lambda: H2Connection(self), sock=listener, backlog=_BACKLOG)
        )

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

    def admit(self, connection: "H2Connection") -> bool:
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

    def forget(self, connection: "H2Connection") -> None:
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


def service_of(handlers: Mapping[str, Handle]) -> str:
    """Return the service whose methods are served, which is a name for health checks."""
    return next(iter(handlers)).split("/")[1]
