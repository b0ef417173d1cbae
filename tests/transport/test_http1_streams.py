"""Answers that go on: written piece by piece, bounded, and ended with the server or the peer."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
import uvloop

from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Request, Response

GET = b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n"


class Source:
    """What a stream's pieces come from: put some, ``None`` ends it."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open = 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            while (piece := await self.pieces.get()) is not None:
                yield piece
        finally:
            self.open -= 1


class World:
    """A server with one stream."""

    def __init__(self) -> None:
        self.source = Source()
        self.peers: list[str] = []
        self.faults: list[Exception] = []
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.server = HttpServer(
            "127.0.0.1:0",
            {
                ("GET", "/events"): self._answer,
                ("GET", "/livez"): lambda _: Response(200, b"up"),
                ("GET", "/slow"): self._slow,
            },
            on_fault=self.faults.append,
            max_connections=4,
            request_seconds=0.5,
        )

    async def _slow(self, _request: Request) -> Response:
        self.asked.set()
        await self.go_on.wait()
        return Response(200, b"slow")

    def _answer(self, request: Request) -> Response:
        self.peers.append(request.peer)
        return Response(200, b"", "text/event-stream", stream=self.source.stream)

    async def ask(self, raw: bytes = GET) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.server.bound_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        self.writers.append(writer)
        return reader, writer


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.server.start()
    yield made
    await made.server.close()
    assert made.faults == []
    for writer in made.writers:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_pieces_are_written_as_they_come_and_the_end_closes(world: World) -> None:
    reader, writer = await world.ask()
    await world.source.pieces.put(b"data: 1\n\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length" not in head
    for wanted in (b"text/event-stream", b"no-store", b"nosniff", b"connection: close"):
        assert wanted in head.lower()
    assert await reader.readuntil(b"data: 1\n\n")
    await world.source.pieces.put(b"data: 2\n\n")
    assert b"data: 2\n\n" in await reader.readuntil(b"2\n\n")
    await world.source.pieces.put(None)
    assert (await reader.read()).endswith(b"0\r\n\r\n")
    assert world.peers == [":".join(map(str, writer.get_extra_info("sockname")))]
    writer.close()


async def test_a_peer_that_leaves_ends_its_stream(world: World) -> None:
    reader, writer = await world.ask()
    await until(lambda: world.source.open)
    writer.close()
    await until(lambda: not world.source.open)
    del reader


async def test_a_peer_that_reads_nothing_ends_its_stream(world: World) -> None:
    _, writer = await world.ask()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: world.source.open)
    for _ in range(200):
        world.source.pieces.put_nowait(b"x" * 100_000)
    await until(lambda: not world.source.open)
    writer.transport.abort()


async def test_a_closing_server_ends_every_stream(world: World) -> None:
    reader, _ = await world.ask()
    await until(lambda: world.source.open)
    async with asyncio.timeout(2):
        await world.server.close()
        await reader.read()
    assert not world.source.open


async def test_head_starts_no_stream(world: World) -> None:
    reader, _ = await world.ask(GET.replace(b"GET", b"HEAD"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert not world.source.open


async def test_streams_take_half_of_the_connections_and_probes_have_the_others(
    world: World,
) -> None:
    readers = [await world.ask() for _ in range(2)]
    await until(lambda: world.source.open == 2)
    reader, _ = await world.ask()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    for _ in range(6):
        reader, _ = await world.ask(b"GET /livez HTTP/1.1\r\nhost: h\r\n\r\n")
        assert (await reader.readuntil(b"up")).startswith(b"HTTP/1.1 200 ")
    assert world.source.open == 2, "none of them was closed for another"
    for _, writer in readers:
        writer.transport.abort()


RESET = struct.pack("ii", 1, 0)
"""A socket that is closed so leaves with a reset, and not with an end."""


@pytest.mark.parametrize("path", [b"events", b"slow"])
def test_a_peer_that_leaves_is_no_defect_under_uvloop_either(path: bytes) -> None:
    """There a write to a connection that is closed raises what asyncio does not."""

    async def leave() -> None:
        world = World()
        await world.server.start()
        host, _, port = world.server.bound_address.rpartition(":")
        with socket.create_connection((host, int(port))) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.sendall(GET.replace(b"events", path))
            await until(lambda: world.source.open or world.asked.is_set())
        await until(lambda: not world.source.open)
        for _ in range(100):  # the server's end hears of it
            await asyncio.sleep(0.001)
        world.go_on.set()
        await until(lambda: not world.server._connections)
        await world.server.close()
        assert world.faults == []

    uvloop.run(leave())
