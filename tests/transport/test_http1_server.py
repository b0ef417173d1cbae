"""The server without the operator's rules: what the intake of reports stands on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import h11
import pytest

from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Handler, Refusal, Request, Response

SEEN: Counter[int] = Counter()


def show(request: Request) -> Response:
    names = (request.header(b"host"), request.header(b"x-twice"), request.header(b"x-none"))
    return Response(200, "|".join(names).encode())


BEGUN, GO_ON = asyncio.Event(), asyncio.Event()


async def slow(_request: Request) -> Response:
    BEGUN.set()
    await GO_ON.wait()
    return Response(200, b"slow")


def not_tea(head: h11.Request) -> Refusal | None:
    return Refusal(418) if any(name == b"x-tea" for name, _ in head.headers) else None


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    SEEN.clear()
    BEGUN.clear()
    GO_ON.clear()
    routes: dict[tuple[str, str], Handler] = {
        ("POST", "/r"): lambda _: Response(204, b""),
        ("GET", "/show"): show,
        ("GET", "/slow"): slow,
    }
    server = HttpServer(
        "127.0.0.1:0",
        routes,
        on_fault=lambda exc: pytest.fail(str(exc)),
        guard=not_tea,
        observe=lambda status: SEEN.update([status]),
        max_body_bytes=10,
        max_connections=1,
    )
    await server.start()
    yield server
    await server.close()


async def say(server: HttpServer, raw: str) -> str:
    host, _, port = server.bound_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw.replace("\n", "\r\n").encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


END = "Connection: close\n\n"


async def test_any_host_and_origin_is_served(server: HttpServer) -> None:
    """These requests come from web pages, through Envoy."""
    head = "POST /r HTTP/1.1\nHost: shop.example\nOrigin: https://shop.example\n"
    answer = await say(server, f"{head}Content-Length: 0\n{END}")
    assert answer.startswith("HTTP/1.1 204 ")


async def test_a_204_has_neither_type_nor_length(server: HttpServer) -> None:
    answer = await say(server, f"POST /r HTTP/1.1\nHost: a\nContent-Length: 1\n{END}x")
    assert "content-" not in answer.replace("x-content-type-options", "")
    assert answer.endswith("\r\n\r\n")


async def test_headers_reach_the_handler_and_one_that_comes_twice_is_none(
    server: HttpServer,
) -> None:
    twice = "X-Twice: 1\nX-Twice: 2\n"
    answer = await say(server, f"GET /show HTTP/1.1\nHost: shop.example\n{twice}{END}")
    assert answer.endswith("\r\n\r\nshop.example||")


async def test_every_answer_is_observed(server: HttpServer) -> None:
    for raw in (
        f"POST /r HTTP/1.1\nHost: a\nContent-Length: 0\n{END}",
        f"GET /r HTTP/1.1\nHost: a\n{END}",
        f"POST /r HTTP/1.1\nHost: a\nContent-Length: 11\n{END}12345678901",
        f"POST /r HTTP/1.1\nHost: a\nX-Tea: 1\nContent-Length: 0\n{END}",
        "\x16\x03\x01\n\n",
    ):
        await say(server, raw)
    assert SEEN == {204: 1, 405: 1, 413: 1, 418: 1, 400: 1}


async def test_one_connection_too_many_is_observed_too(server: HttpServer) -> None:
    """The one there is is worked on: nothing can make room."""
    host, _, port = server.bound_address.rpartition(":")
    reader, held = await asyncio.open_connection(host, int(port))
    held.write(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await asyncio.wait_for(BEGUN.wait(), 5)
    assert (await say(server, "")).startswith("HTTP/1.1 503 ")
    assert SEEN == {503: 1}
    GO_ON.set()
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
    held.close()


async def test_an_idle_connection_is_closed_for_a_new_one(server: HttpServer) -> None:
    host, _, port = server.bound_address.rpartition(":")
    reader, held = await asyncio.open_connection(host, int(port))
    assert (await say(server, f"GET /show HTTP/1.1\nHost: a\n{END}")).startswith("HTTP/1.1 200 ")
    assert SEEN == {200: 1}
    assert await asyncio.wait_for(reader.read(), 5) == b""
    held.close()
