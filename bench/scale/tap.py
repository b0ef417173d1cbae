"""The wire between the fleet and Vault: counts every call, and can play an outage.

It forwards HTTP/1.1 of one request at a time for each connection, which is how the sidecar's client
speaks. What it counts is independent of the sidecar's own counters, and it counts what Vault
never sees: calls while nobody answers.
"""

import asyncio
import time
from enum import StrEnum
from http import HTTPStatus
from typing import cast

from bench.scale.calls import Call, kind_of

_HEAD_END = b"\r\n\r\n"
_MAX_HEAD_BYTES = 65_536


class Mode(StrEnum):
    """What becomes of a request."""

    OPEN = "open"
    """Vault gets it."""
    SEALED = "sealed"
    """503, as a sealed Vault answers."""
    LIMITED = "limited"
    """429 with ``Retry-After``, as a quota of Vault answers."""


RETRY_AFTER_SECONDS = 5
_ANSWERS = {
    Mode.SEALED: (HTTPStatus.SERVICE_UNAVAILABLE, b'{"errors":["Vault is sealed"]}', b""),
    Mode.LIMITED: (
        HTTPStatus.TOO_MANY_REQUESTS,
        b'{"errors":["request path: rate limit quota exceeded"]}',
        b"Retry-After: %d\r\n" % RETRY_AFTER_SECONDS,
    ),
}


class Tap:
    """Listens on a port of loopback in front of a Vault; ``calls`` grows as they come."""

    def __init__(self, vault_port: int) -> None:
        self.vault_port = vault_port
        self.calls: list[Call] = []
        self.mode = Mode.OPEN
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0, backlog=4096)
        self._server, self.port = server, server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for each in tuple(self._open):
            each.abort()
        await asyncio.sleep(0)

    def opened(self, transport: asyncio.Transport) -> None:
        """Take note of a connection."""
        self._open.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._open.discard(transport)


def request_line(head: bytes) -> tuple[str, str]:
    """Return method and path, without ``/v1/`` and query; a list by query is ``LIST``."""
    method, _, rest = head.partition(b" ")
    target = rest.partition(b" ")[0].decode("ascii", "replace")
    path, _, query = target.partition("?")
    is_list = "list=true" in query
    return "LIST" if is_list else method.decode("ascii", "replace"), path.removeprefix("/v1/")


def body_length(head: bytes) -> int:
    """Return a request's ``Content-Length``; 0 if it has none."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


class _Client(asyncio.Protocol):
    """A connection of the fleet's, with one to Vault behind it."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._vault: _Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.call: Call | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._tap.opened(self._transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._transport is not None:
            self._tap.closed(self._transport)
        if self._vault is not None:
            self._vault.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, _ = self._buffer.partition(_HEAD_END)
        if not end:
            if len(head) > _MAX_HEAD_BYTES:
                self.close()
            return
        size = len(head) + len(end) + body_length(head)
        if len(self._buffer) < size:
            return
        request, self._buffer = self._buffer[:size], self._buffer[size:]
        self.call = Call(time.time(), kind_of(*request_line(head)), size)
        self._tap.calls.append(self.call)
        if self._tap.mode is not Mode.OPEN:
            self._refuse(self._tap.mode)
        elif self._vault is not None and self._vault.is_open:
            self._vault.send(request)
        else:
            self._connecting = asyncio.ensure_future(self._connect_and_send(request))

    async def _connect_and_send(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._vault = await loop.create_connection(
                lambda: _Upstream(self), "127.0.0.1", self._tap.vault_port
            )
        except OSError:
            self.close()
            return
        self._vault.send(request)

    def _refuse(self, mode: Mode) -> None:
        status, body, more = _ANSWERS[mode]
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        self.answer(head % (status, status.phrase.encode(), more, len(body)) + body)

    def answer(self, data: bytes) -> None:
        """Hand on a part of an answer, and count it."""
        if self.call is not None:
            if not self.call.received_bytes and data.startswith(b"HTTP/1.1 "):
                self.call.status = int(data[9:12])
            self.call.received_bytes += len(data)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End the connection, as a Vault that has gone does."""
        if self._transport is not None:
            self._transport.close()


class _Upstream(asyncio.Protocol):
    """A connection to Vault."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.is_open = cast("asyncio.Transport", transport), True

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_open = False
        self._client.close()

    def data_received(self, data: bytes) -> None:
        self._client.answer(data)

    def send(self, data: bytes) -> None:
        """Send a request."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
