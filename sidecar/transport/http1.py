"""A small, bounded HTTP/1.1 server for the admin port and reports, without a framework.

h11 parses; this module bounds the head, the body, idle and slow peers, and connections, until
the last byte of an answer is sent. At the limit of connections the one that has been idle
longest is closed, so that clients that hold connections can't lock out health probes.

Longer than other files: reading, answering and writing are one conversation, with one time-out
each.
"""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import h11

from sidecar.transport.http1_connections import ConnectionTable
from sidecar.transport.http1_messages import Guard, Refusal, Request, Response, Routes, problem
from sidecar.transport.peers import describe_peer
from sidecar.transport.ports import JOINS
from sidecar.transport.sockets import (
    ListenFault,
    bind_unix,
    fresh_name,
    put_in_place,
    remove_own_socket,
    split_address,
)

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 65_536
MAX_CONNECTIONS = 64
REQUEST_SECONDS = 5.0
IDLE_SECONDS = 30.0
_READ_BYTES = 65_536
_NO_CONTENT = 204
_COMMON = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
_BUSY = (
    b"HTTP/1.1 503 \r\ncontent-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
)


class HttpServer:
    """Serves ``routes`` (method and path to handler) on ``host:port`` or ``unix:/path``.

    ``observe`` gets the status of every answer, also of those to malformed requests.
    """

    def __init__(
        self,
        address: str,
        routes: Routes,
        *,
        on_fault: Callable[[Exception], None],
        guard: Guard = lambda _: None,
        observe: Callable[[int], None] = lambda _: None,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.address = address
        self.bound_address = address
        self._routes = routes
        self._on_fault = on_fault
        self._guard = guard
        self._observe = observe
        self._max_body_bytes = max_body_bytes
        self._request_seconds = request_seconds
        self._idle_seconds = idle_seconds
        self._table = ConnectionTable(max_connections)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._socket: tuple[Path, int] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start listening. Raises ``ListenFault`` for an address in use or not this machine's."""
        try:
            if self.address.startswith("unix:"):
                path = Path(self.address.removeprefix("unix:"))
                bound = fresh_name(path)
                self._server = await asyncio.start_unix_server(self._serve, sock=bind_unix(bound))
                self._socket = path, put_in_place(bound, path)
            else:
                host, port = split_address(self.address)
                self._server = await asyncio.start_server(
                    self._serve, host, port, reuse_port=JOINS.get()
                )
                port = self._server.sockets[0].getsockname()[1]
                self.bound_address = f"{self.address.rpartition(':')[0]}:{port}"
        except OSError as exc:
            raise ListenFault(f"cannot listen on {self.address}: {exc.strerror}") from exc

    async def close(self) -> None:
        """Close the listener and every connection."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._socket is not None:
            remove_own_socket(*self._socket)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._closing:
            writer.transport.abort()
            return
        if not self._table.admit(task, task.cancel):
            self._observe(503)
            writer.write(_BUSY)
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(h11.Connection(h11.SERVER, MAX_HEAD_BYTES), reader, writer)
            writer.close()
            async with asyncio.timeout(self._request_seconds):
                await writer.wait_closed()
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the peer has closed, or the server closes
        except Exception as exc:  # noqa: BLE001 - the task's edge
            self._on_fault(exc)
        finally:
            self._table.forget(task)
            self._connections.discard(task)
            # Without this a peer that never reads would keep its socket, uncounted.
            writer.transport.abort()

    async def _converse(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer requests until one side closes."""
        peer = describe_peer(writer.get_extra_info("socket"))
        while True:
            head_only = False
            try:
                head = await self._read_head(http, reader)
                if head is None:
                    return
                head_only = head.method == b"HEAD"
                response = await self._answer(await self._read_rest(http, reader, head, peer))
            except h11.RemoteProtocolError as exc:
                response = problem(exc.error_status_hint)
            except _RefusedError as refused:
                response = problem(refused.refusal.status, refused.refusal.detail)
            except TimeoutError:
                response = problem(408)
            self._table.answered(asyncio.current_task())
            if response.stream is not None and not head_only:
                await self._write_stream(http, reader, writer, response, response.stream)
                return
            await self._write(http, writer, response, head_only=head_only)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()
            # Pipelined requests have arrived already: nothing above need have waited.
            await asyncio.sleep(0)

    async def _read_head(
        self, http: h11.Connection, reader: asyncio.StreamReader
    ) -> h11.Request | None:
        """Read a request's head; ``None`` when the peer closed or stayed idle.

        A peer may be idle before the head's first byte; from then on the head has a time-out.
        """
        if not http.trailing_data[0]:
            try:
                async with asyncio.timeout(self._idle_seconds):
                    http.receive_data(await reader.read(_READ_BYTES))
            except TimeoutError:
                return None
        async with asyncio.timeout(self._request_seconds):
            event = await _next_event(http, reader)
        return event if isinstance(event, h11.Request) else None

    async def _read_rest(
        self, http: h11.Connection, reader: asyncio.StreamReader, head: h11.Request, peer: str
    ) -> Request:
        """Read the body of a request that has a handler."""
        body = bytearray()
        async with asyncio.timeout(self._request_seconds):
            while isinstance(piece := await _next_event(http, reader), h11.Data):
                body += piece.data
                if len(body) > self._max_body_bytes:
                    raise _RefusedError(Refusal(413))
        if refusal := self._guard(head):
            raise _RefusedError(refusal)
        path, _, query = head.target.decode("ascii", "replace").partition("?")
        method = head.method.decode("ascii")
        return Request(
            "GET" if method == "HEAD" else method,
            path,
            query,
            bytes(body),
            tuple(head.headers),
            peer,
        )

    async def _answer(self, request: Request) -> Response:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            return self._no_handler(request.path)
        try:
            answer = handler(request)
            return await self._wait_for(answer) if inspect.isawaitable(answer) else answer
        except Exception as exc:  # noqa: BLE001 - the server's edge
            self._on_fault(exc)
            return problem(500)

    async def _wait_for(self, answer: Awaitable[Response]) -> Response:
        """Await a pending answer; refuse if too many are pending."""
        with self._table.work(asyncio.current_task()) as has_room:
            if has_room:
                return await answer
        if inspect.iscoroutine(answer):
            answer.close()
        return problem(503)

    def _no_handler(self, path: str) -> Response:
        methods = {method for method, known in self._routes if known == path}
        if not methods:
            return problem(404)
        if "GET" in methods:
            methods.add("HEAD")
        return problem(405)._replace(headers=(("allow", ", ".join(sorted(methods))),))

    async def _write(
        self,
        http: h11.Connection,
        writer: asyncio.StreamWriter,
        response: Response,
        *,
        head_only: bool,
    ) -> None:
        self._observe(response.status)
        described = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
        ]
        headers = [
            # A 204 has neither (RFC 9110 §8.6).
            *(described if response.status != _NO_CONTENT else ()),
            *_COMMON,
            *response.headers,
        ]
        if http.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        head = http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        body = b"" if head_only else http.send(h11.Data(response.body)) or b""
        _send(writer, head + body + (http.send(h11.EndOfMessage()) or b""))
        async with asyncio.timeout(self._request_seconds):
            await writer.drain()

    async def _write_stream(
        self,
        http: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        response: Response,
        pieces: Callable[[], AsyncGenerator[bytes, None]],
    ) -> None:
        """Write pieces as they come, each within the time of a request, and close after the last.

        A stream is a request in progress: no other connection takes its place.
        """
        with self._table.work(asyncio.current_task()) as has_room:
            if not has_room:
                await self._write(http, writer, problem(503), head_only=False)
                return
            self._observe(response.status)
            headers = [
                ("content-type", response.content_type),
                *_COMMON,
                *response.headers,
                ("connection", "close"),
            ]
            begun = h11.Response(status_code=response.status, headers=headers)
            _send(writer, http.send(begun) or b"")
            gone = asyncio.ensure_future(_end_of(reader))
            try:
                async with contextlib.aclosing(pieces()) as stream:
                    while (piece := await _next_before(gone, stream)) is not None:
                        _send(writer, http.send(h11.Data(piece)) or b"")
                        async with asyncio.timeout(self._request_seconds):
                            await writer.drain()
                _send(writer, http.send(h11.EndOfMessage()) or b"")
            finally:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)


class _RefusedError(Exception):
    """A request that is refused before its handler."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, unless the peer is gone: uvloop has another exception for that than asyncio."""
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Return once the peer has closed; what it sends until then is nobody's."""
    while await reader.read(_READ_BYTES):
        pass


async def _next_before(
    gone: "asyncio.Future[None]", stream: AsyncGenerator[bytes, None]
) -> bytes | None:
    """Return the next piece; ``None`` after the last, or where the peer is gone before it."""
    coming = asyncio.ensure_future(anext(stream, None))
    try:
        await asyncio.wait((coming, gone), return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        event = http.next_event()
        if not isinstance(event, type) or event is h11.PAUSED:
            return event
        http.receive_data(await reader.read(_READ_BYTES))
