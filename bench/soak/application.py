"""The applications behind the soak's Envoy: they tell what arrived. HTTP/1.1, and gRPC.

A GET or POST is answered with the headers that came, ``/stream`` with server-sent events, and a
websocket sends back each frame that it gets.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import grpc

from bench.soak.oracle import TRUSTED

EVENTS = 6
EVENT_SECONDS = 0.2
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_CARELESS = "server: sample\r\nx-powered-by: sample\r\ncontent-security-policy: default-src *\r\n"


def told_of(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return every header whose name some server would take for a trusted one."""
    told: dict[str, list[str]] = {}
    for name, values in headers.items():
        folded = "".join(byte if byte.isalnum() else "-" for byte in name.lower())
        if folded in TRUSTED:
            told.setdefault(folded, []).extend(values)
    return told


class Application:
    """Both servers, on free loopback ports."""

    def __init__(self) -> None:
        self.port = self.calls_port = 0
        self._server: asyncio.Server | None = None
        self._calls: Any = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self._calls = grpc.aio.server()
        self._calls.add_generic_rpc_handlers((_Echo(),))
        self.calls_port = self._calls.add_insecure_port("127.0.0.1:0")
        await self._calls.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.stop(1)
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        self._open.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        _, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        if length := headers.get("content-length"):
            await reader.readexactly(int(length[0]))
        told = json.dumps({"told": told_of(headers)})
        if "upgrade" in headers:
            await _frames(reader, writer, headers["sec-websocket-key"][0], told)
            return False
        if head.startswith(b"GET /stream/"):
            await _events(writer, told)
            return True
        body = told.encode()
        writer.write(_head("200 OK", f"content-length: {len(body)}\r\n") + body)
        await writer.drain()
        return True


def _head(status: str, more: str) -> bytes:
    return f"HTTP/1.1 {status}\r\n{_CARELESS}{more}\r\n".encode()


async def _events(writer: asyncio.StreamWriter, told: str) -> None:
    more = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    writer.write(_head("200 OK", more))
    for number in range(EVENTS):
        event = f"id: {number}\ndata: {told}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(EVENT_SECONDS)
    writer.write(b"0\r\n\r\n")


async def _frames(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, told: str
) -> None:
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    more = "upgrade: websocket\r\nconnection: Upgrade\r\n"
    more += f"sec-websocket-accept: {base64.b64encode(digest).decode()}\r\n"
    writer.write(_head("101 Switching Protocols", more) + frame(told.encode()))
    while (payload := await read_frame(reader)) is not None:
        writer.write(frame(payload))
        await writer.drain()


def frame(payload: bytes) -> bytes:
    """Return one text frame without a mask (RFC 6455 §5.2)."""
    size = len(payload)
    length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return b"\x81" + length + payload


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Read one frame, masked or not; ``None`` for one that closes."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
    masked = await reader.readexactly(size)
    payload = bytes(byte ^ mask[number % 4] for number, byte in enumerate(masked))
    return None if first & 0x0F == 8 else payload


class _Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every method with the trusted headers of its call."""

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call."""
        headers: dict[str, list[str]] = {}
        for name, value in handler_call_details.invocation_metadata:
            headers.setdefault(name, []).append(value)

        async def answer(_request: bytes, _context: Any) -> bytes:
            return json.dumps({"told": told_of(headers)}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)
