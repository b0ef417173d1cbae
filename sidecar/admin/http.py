"""HTTP/1.1 for the operator, on loopback: small, bounded, without a framework.

h11 parses; here are the limits: of the head, of the body, of idle and slow peers, of
connections. The ``Host`` header must name this machine, so that a web page in some
browser on it can't read our answers by pointing its own name here (DNS rebinding).
"""

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import h11

from sidecar.transport.sockets import ListenFault, remove_stale_socket, split_address

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 65_536
MAX_CONNECTIONS = 64
REQUEST_SECONDS = 5.0
IDLE_SECONDS = 30.0
_READ_BYTES = 65_536


class Request(NamedTuple):
    """One request: ``path`` without its query."""

    method: str
    path: str
    query: str
    body: bytes


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def json(cls, status: int, value: object) -> "Response":
        """Answer with a JSON document."""
        return cls(status, json.dumps(value, indent=1).encode() + b"\n", "application/json")


Handler = Callable[[Request], Response | Awaitable[Response]]


class AdminServer:
    """Serves ``routes`` (method and path to handler) on ``host:port`` or ``unix:/path``."""

    def __init__(
        self,
        address: str,
        routes: Mapping[tuple[str, str], Handler],
        *,
        on_fault: Callable[[Exception], None],
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.address = address
        self.bound_address = address
        self._routes = routes
        self._on_fault = on_fault
        self._request_seconds = request_seconds
        self._idle_seconds = idle_seconds
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises ``ListenFault`` for an address that is taken or not ours."""
        try:
            if self.address.startswith("unix:"):
                path = Path(self.address.removeprefix("unix:"))
                remove_stale_socket(path)
                self._server = await asyncio.start_unix_server(self._serve, path)
            else:
                host, port = split_address(self.address)
                self._server = await asyncio.start_server(self._serve, host, port)
                port = self._server.sockets[0].getsockname()[1]
                self.bound_address = f"{self.address.rpartition(':')[0]}:{port}"
        except OSError as exc:
            raise ListenFault(f"cannot listen on {self.address}: {exc.strerror}") from exc

    async def close(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(h11.Connection(h11.SERVER, MAX_HEAD_BYTES), reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # the peer's business, or the server closes
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer request after request until one side has had enough."""
        while True:
            head_only = False
            try:
                request, head_only = await self._read_request(http, reader)
            except h11.RemoteProtocolError as exc:
                response = _problem(exc.error_status_hint)
            except _TooLarge:
                response = _problem(413)
            except TimeoutError:
                response = _problem(408)
            else:
                if request is None:
                    return
                response = await self._answer(request)
            await self._write(http, writer, response, head_only=head_only)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _read_request(
        self, http: h11.Connection, reader: asyncio.StreamReader
    ) -> tuple[Request | None, bool]:
        """Read one whole request; ``None`` when the peer closed or stayed idle."""
        try:
            event = await asyncio.wait_for(_next_event(http, reader), self._idle_seconds)
        except TimeoutError:
            if http.trailing_data[0]:
                raise
            return None, False
        if not isinstance(event, h11.Request):
            return None, False
        body = bytearray()
        async with asyncio.timeout(self._request_seconds):
            while isinstance(piece := await _next_event(http, reader), h11.Data):
                body += piece.data
                if len(body) > MAX_BODY_BYTES:
                    raise _TooLarge
        if not _is_this_machine(event):
            raise h11.RemoteProtocolError("the Host is not ours", error_status_hint=421)
        path, _, query = event.target.decode("ascii", "replace").partition("?")
        method = event.method.decode("ascii")
        head_only = method == "HEAD"
        return Request("GET" if head_only else method, path, query, bytes(body)), head_only

    async def _answer(self, request: Request) -> Response:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            known = any(path == request.path for _, path in self._routes)
            return _problem(405 if known else 404)
        try:
            answer = handler(request)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as exc:  # noqa: BLE001 - the server's edge
            self._on_fault(exc)
            return _problem(500)

    async def _write(
        self,
        http: h11.Connection,
        writer: asyncio.StreamWriter,
        response: Response,
        *,
        head_only: bool,
    ) -> None:
        headers = [
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ]
        if http.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        head = http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        body = b"" if head_only else http.send(h11.Data(response.body)) or b""
        writer.write(head + body + (http.send(h11.EndOfMessage()) or b""))
        await asyncio.wait_for(writer.drain(), self._request_seconds)


class _TooLarge(Exception):  # noqa: N818 - an answer
    """A body over the limit."""


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        event = http.next_event()
        if not isinstance(event, type) or event is h11.PAUSED:
            return event
        http.receive_data(await reader.read(_READ_BYTES))


def _problem(status: int) -> Response:
    return Response.json(status, {"status": status})


def _is_this_machine(request: h11.Request) -> bool:
    """Tell whether ``Host`` is an IP literal or ``localhost``: nothing DNS could point here."""
    hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
    if len(hosts) != 1:
        return not hosts
    name = hosts[0].rpartition(":")[0] if hosts[0].rpartition(":")[2].isdigit() else hosts[0]
    if name.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        ip_address(name.strip("[]"))
        return True
    return False
