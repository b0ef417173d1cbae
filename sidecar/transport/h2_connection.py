"""One connection of the fast engine, between its socket and the gRPC rules of ``unary``.

One read is one batch: everything that arrived is answered, then written with one call. A peer
that does not read is not read from either; a silent one is pinged, then disconnected.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol, cast

import ngh2

from sidecar.transport.grpc_headers import CarryTrace
from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.limits import BufferAccount, Limits
from sidecar.transport.unary import UnaryConnection

Handle = Callable[[bytes], bytes | Awaitable[bytes]]
KEEPALIVE_SECONDS = 30.0
KEEPALIVE_TIMEOUT_SECONDS = 10.0
_MAX_UNWRITTEN_BYTES = 1_048_576
_GATHER_SECONDS = 0.002
"""Pending answers are collected for this long and written together."""
_DEFECT = (GrpcStatus.INTERNAL, "the call failed")


class ConnectionOwner(Protocol):
    """What a connection needs of its server."""

    handlers: Mapping[bytes, Handle]
    """By full path."""
    paths: frozenset[bytes]
    limits: Limits
    buffered: BufferAccount
    traces: Mapping[bytes, CarryTrace]
    clock: Callable[[], float]
    on_fault: Callable[[Exception], None]

    def admit(self, connection: "H2Connection") -> bool:
        """Return whether a new connection may stay."""

    def forget(self, connection: "H2Connection") -> None:
        """Remove a connection that has closed."""


class H2Connection(asyncio.Protocol):
    """One peer: moves bytes between its socket and a ``UnaryConnection``."""

    __slots__ = (
        "_clock", "_draining", "_gathering", "_grpc", "_pinged", "_server", "_transport",
        "_waiting", "heard",
    )  # fmt: skip

    def __init__(self, server: ConnectionOwner) -> None:
        self._server = server
        self._clock = server.clock
        self._grpc = UnaryConnection(
            server.paths,
            self._dispatch,
            server.limits,
            self._abandon,
            server.buffered,
            traces=server.traces,
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
        """Send the settings, if the server admits this connection."""
        stream = cast("asyncio.Transport", transport)  # uvloop's own class, of the same interface
        self._transport = stream
        if not self._server.admit(self):
            stream.abort()
            return
        stream.set_write_buffer_limits(high=_MAX_UNWRITTEN_BYTES)
        stream.write(self._grpc.outgoing())

    def connection_lost(self, _exc: Exception | None) -> None:
        """Cancel what is pending: nobody waits for it."""
        self._server.forget(self)
        for stream_id in tuple(self._waiting):
            self._abandon(stream_id)
        self._grpc.close()

    def data_received(self, data: bytes) -> None:
        """Answer all complete requests of one read, with one write."""
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
        """Read no more while the peer does not read its answers."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
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
