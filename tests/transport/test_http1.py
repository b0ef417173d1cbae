"""The admin port, spoken to over raw sockets, politely and not."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.admin.routes import KeyRefresh, admin_routes
from sidecar.admin.server import AdminServer
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from sidecar.transport.http1 import MAX_CONNECTIONS
from sidecar.transport.http1_messages import Request, Response
from sidecar.transport.sockets import ListenFault


class Talk:
    """One server and a way to talk to it."""

    def __init__(self, server: AdminServer, faults: list[Exception], go_on: asyncio.Event) -> None:
        self.server = server
        self.faults = faults
        self.go_on = go_on

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.server.address.startswith("unix:"):
            return await asyncio.open_unix_connection(self.server.address.removeprefix("unix:"))
        port = int(self.server.bound_address.rpartition(":")[2])
        return await asyncio.open_connection("127.0.0.1", port)

    async def say(self, raw: bytes) -> bytes:
        reader, writer = await self.open()
        try:
            writer.write(raw)
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def get(
        self, path: str, method: str = "GET", host: str = "localhost"
    ) -> tuple[int, bytes]:
        raw = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        head, _, body = (await self.say(raw.encode())).partition(b"\r\n\r\n")
        return int(head.split()[1]), body


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


HEALTH = Health()
HEALTH.set_unhealthy("keys", "no key is loaded")


async def refreshed() -> KeyRefresh:
    return KeyRefresh("active", complete=True)


def echo(request: Request) -> Response:
    return Response(200, f"{request.query}|".encode() + request.body)


async def later(_request: Request) -> Response:
    await asyncio.sleep(0)
    return Response(200, b"later")


def broken(_request: Request) -> Response:
    raise RuntimeError("a defect")


@pytest.fixture(params=["tcp", "unix"])
async def talk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Talk]:
    faults: list[Exception] = []
    routes = {
        **admin_routes(HEALTH, Metrics(), refreshed),
        ("POST", "/echo"): echo,
        ("GET", "/later"): later,
        ("GET", "/broken"): broken,
        ("GET", "/large"): lambda _request: Response(200, b"x" * 100_000),
    }
    go_on = asyncio.Event()

    async def slow(_request: Request) -> Response:
        await go_on.wait()
        return Response(200, b"slow")

    routes["GET", "/slow"] = slow
    address = "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/admin.sock"
    server = AdminServer(
        address, routes, on_fault=faults.append, request_seconds=0.3, idle_seconds=0.5
    )
    await server.start()
    yield Talk(server, faults, go_on)
    await server.close()


ANSWERS = [
    ("an unknown path", "GET", "/nope", "localhost", 404),
    ("a refresh of the keys", "POST", "/keys/refresh", "localhost", 200),
    ("a wrong method", "POST", "/livez", "localhost", 405),
    ("an awaitable handler", "GET", "/later", "localhost", 200),
    ("a defect", "GET", "/broken", "localhost", 500),
    ("an IP literal", "GET", "/livez", "127.0.0.1:9102", 200),
    ("an IPv6 literal", "GET", "/livez", "[::1]:9102", 200),
    ("localhost in capitals", "GET", "/livez", "LOCALHOST:1", 200),
    ("a rebound name", "GET", "/livez", "evil.example", 421),
    ("a rebound name with a port", "GET", "/livez", "evil.example:9102", 421),
    ("no host at all", "GET", "/livez", "", 421),
]


@pytest.mark.parametrize(
    ("method", "path", "host", "status"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
async def test_answers(talk: Talk, method: str, path: str, host: str, status: int) -> None:
    assert (await talk.get(path, method, host))[0] == status
    assert len(talk.faults) == (status == 500)


HEADS = [
    ("an answer", "/livez", "localhost", 200),
    ("an unknown path", "/nope", "localhost", 404),
    ("no GET there", "/echo", "localhost", 405),
    ("a rebound name", "/livez", "evil.example", 421),
    ("a defect", "/broken", "localhost", 500),
]


@pytest.mark.parametrize(
    ("path", "host", "status"), [h[1:] for h in HEADS], ids=[h[0] for h in HEADS]
)
async def test_head_has_no_body(talk: Talk, path: str, host: str, status: int) -> None:
    assert await talk.get(path, "HEAD", host) == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/livez", b"allow: GET, HEAD"), ("GET", "/echo", b"allow: POST")],
)
async def test_a_wrong_method_is_answered_with_the_allowed_ones(
    talk: Talk, method: str, path: str, allowed: bytes
) -> None:
    raw = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert allowed + b"\r\n" in await talk.say(raw.encode())


async def test_a_body_and_a_query_arrive(talk: Talk) -> None:
    head = b"POST /echo?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    raw = head + b"Connection: close\r\n\r\nabc"
    assert (await talk.say(raw)).endswith(b"a=b|abc")


async def test_many_requests_on_one_connection(talk: Talk) -> None:
    """Pipelined ones too."""
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert (await talk.say(one * 20 + last)).count(b"alive") == 21


UGLY = [
    ("garbage", b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"400"),
    ("a head too large", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000, b"431"),
    (
        "a body too large",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n" + b"a" * 70_000,
        b"413",
    ),
    (
        "a HEAD with a body that does not come",
        b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
        b"408",
    ),
    (
        "a body that does not come",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab",
        b"408",
    ),
    ("a head that does not end", b"GET / HTTP/1.1\r\nHost: loc", b"408"),
    ("two hosts", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"400"),
    (
        "smuggling",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"400",
    ),
]


@pytest.mark.parametrize(("raw", "status"), [u[1:] for u in UGLY], ids=[u[0] for u in UGLY])
async def test_ugly_requests_are_answered_and_closed(talk: Talk, raw: bytes, status: bytes) -> None:
    assert (await talk.say(raw)).split()[1] == status
    assert talk.faults == []


async def test_an_idle_connection_is_closed(talk: Talk) -> None:
    assert await talk.say(b"") == b""


HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost: loc"
HALF_A_BODY = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
ONE_REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELD = [
    ("idle", b""),
    ("half a head", HALF_A_HEAD),
    ("half a body", HALF_A_BODY),
    ("a request was answered", ONE_REQUEST),
    ("nothing is read", b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100),
]


@pytest.mark.parametrize("sent", [h[1] for h in HELD], ids=[h[0] for h in HELD])
async def test_clients_that_hold_every_connection_keep_no_probe_out(
    talk: Talk, sent: bytes
) -> None:
    before = open_descriptors()
    opened = []
    for _ in range(2 * MAX_CONNECTIONS):
        _, writer = await talk.open()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(sent)
        opened.append(writer)
    for path in ("/livez", "/metrics", "/livez"):
        assert (await talk.get(path))[0] == 200
    assert open_descriptors() <= before + len(opened) + MAX_CONNECTIONS + 1
    for writer in opened:
        writer.transport.abort()
    assert talk.faults == []


async def test_what_takes_its_time_is_not_cut_short_and_keeps_no_probe_out(talk: Talk) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    opened = [await talk.open() for _ in range(MAX_CONNECTIONS)]
    for _, writer in opened:
        writer.write(slow)
    for _ in range(MAX_CONNECTIONS):
        assert (await talk.get("/livez"))[0] == 200
    talk.go_on.set()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(reader.read() for reader, _ in opened))
    statuses = Counter(answer[9:12] for answer in answers)
    assert statuses[b"200"] == MAX_CONNECTIONS // 2
    assert set(statuses) <= {b"200", b"503", b""}
    for _, writer in opened:
        writer.close()


async def test_a_head_sent_byte_by_byte_has_no_more_time_than_another(talk: Talk) -> None:
    """Slow loris: the time-out is for the whole head, not for each byte."""
    reader, writer = await talk.open()
    answer = asyncio.create_task(reader.read())
    started = asyncio.get_running_loop().time()
    while not answer.done():
        writer.write(b"G")
        await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - started < 2
    with contextlib.suppress(ConnectionError):
        assert (await answer).startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
    writer.close()


async def test_peers_that_read_nothing_keep_no_socket(talk: Talk) -> None:
    """An answer that is not taken is thrown away, and its connection with it."""
    before = open_descriptors()
    peers = []
    for _ in range(10):
        reader, writer = await talk.open()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        peers.append((reader, writer))
    async with asyncio.timeout(5):
        while open_descriptors() > before + len(peers):
            await asyncio.sleep(0.05)
    assert (await talk.get("/livez"))[0] == 200
    for _, writer in peers:
        writer.transport.abort()


async def test_close_waits_for_no_peer(talk: Talk) -> None:
    """One that pipelines without end, and one that is silent."""
    _, silent = await talk.open()
    reader, writer = await talk.open()

    async def pipeline() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
                await writer.drain()
                await reader.read(65_536)

    task = asyncio.create_task(pipeline())
    await asyncio.sleep(0.2)
    async with asyncio.timeout(2):
        await talk.server.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for each in (silent, writer):
        each.transport.abort()


async def test_a_unix_socket_is_taken_away_but_not_a_successors(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    first, second = (AdminServer(f"unix:{path}", {}, on_fault=lambda _: None) for _ in range(2))
    await first.start()
    await second.start()
    await first.close()
    assert path.is_socket()
    await second.close()
    assert not path.exists()


async def test_an_address_in_use_is_a_clear_fault() -> None:
    first = AdminServer("127.0.0.1:0", {}, on_fault=lambda _: None)
    await first.start()
    with pytest.raises(ListenFault, match="in use"):
        await AdminServer(first.bound_address, {}, on_fault=lambda _: None).start()
    await first.close()
