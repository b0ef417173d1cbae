"""The fast engine as real clients see it: grpcio's two, and sockets that behave badly."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import ngh2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.common.clock import monotonic_seconds
from sidecar.transport import h2
from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.h2 import H2Server
from sidecar.transport.h2_connection import KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS
from sidecar.transport.limits import Limits
from sidecar.transport.sockets import ListenFault
from tests.transport.test_unary import HEADERS, message

SERVICE = "pkg.Service"
METHOD = f"/{SERVICE}/Method"
LATER = f"/{SERVICE}/Later"
BROKEN = f"/{SERVICE}/Broken"
PICKY = f"/{SERVICE}/Picky"


class Serving:
    """A server, its faults, and a clock that can be set forward."""

    def __init__(self, address: str) -> None:
        self.faults: list[Exception] = []
        self.ahead_seconds = 0.0
        self.server = H2Server(
            address,
            {
                METHOD: lambda raw: raw[::-1],
                LATER: self.later,
                BROKEN: self.broken,
                PICKY: self.picky,
            },
            limits=Limits(max_message_bytes=100_000),
            clock=lambda: monotonic_seconds() + self.ahead_seconds,
            on_fault=self.faults.append,
        )

    async def later(self, raw: bytes) -> bytes:
        await asyncio.sleep(float(raw or b"0"))
        return b"later"

    def broken(self, _raw: bytes) -> bytes:
        raise ValueError("a defect, with a secret")

    def picky(self, _raw: bytes) -> bytes:
        raise RpcError(GrpcStatus.NOT_FOUND, "not here")

    @property
    def address(self) -> str:
        return self.server.bound_address

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@pytest.fixture(params=["tcp", "unix"])
async def serving(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    address = "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/h2.sock"
    running = Serving(address)
    await running.server.start()
    yield running
    await running.server.stop(0.2)


@pytest.fixture
async def tcp() -> AsyncIterator[Serving]:
    running = Serving("127.0.0.1:0")
    await running.server.start()
    yield running
    await running.server.stop(0.2)


async def test_grpcios_asyncio_client(serving: Serving) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        call = channel.unary_unary(METHOD)
        assert await call(b"abc") == b"cba"
        answers = await asyncio.gather(*(call(str(n).encode()) for n in range(500)))
        assert answers == [str(n).encode()[::-1] for n in range(500)]
        large = bytes(range(256)) * 380
        assert await call(large) == large[::-1]


async def test_grpcios_blocking_client(serving: Serving) -> None:
    def ask() -> list[bytes]:
        with grpc.insecure_channel(serving.address) as channel:
            call = channel.unary_unary(METHOD)
            return [call(str(n).encode(), timeout=5) for n in range(50)]

    assert await asyncio.to_thread(ask) == [str(n).encode()[::-1] for n in range(50)]


ERRORS = [
    ("unknown method", f"/{SERVICE}/None", b"", grpc.StatusCode.UNIMPLEMENTED, "no such method"),
    ("too large", METHOD, b"a" * 100_001, grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"),
    ("a defect", BROKEN, b"", grpc.StatusCode.INTERNAL, "the call failed"),
    ("a status of its own", PICKY, b"", grpc.StatusCode.NOT_FOUND, "not here"),
    ("a defect, later", LATER, b"x", grpc.StatusCode.INTERNAL, "the call failed"),
]


@pytest.mark.parametrize(
    ("method", "raw", "status", "said"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
async def test_errors(
    tcp: Serving, method: str, raw: bytes, status: grpc.StatusCode, said: str
) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(method)(raw)
        assert await channel.unary_unary(METHOD)(b"ab") == b"ba", "the connection lives on"
    assert error.value.code() is status
    assert said in str(error.value.details())
    assert "secret" not in str(error.value.details())
    assert len(tcp.faults) == (status is grpc.StatusCode.INTERNAL)


async def test_a_compressed_message_is_refused(tcp: Serving) -> None:
    options = [("grpc.default_compression_algorithm", grpc.Compression.Gzip.value)]
    async with grpc.aio.insecure_channel(tcp.address, options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(METHOD)(b"a" * 5000)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.quiet
async def test_an_answer_that_takes_its_time_holds_up_nobody(tcp: Serving) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        slow = asyncio.ensure_future(channel.unary_unary(LATER)(b"0.3"))
        started = time.monotonic()
        assert await channel.unary_unary(METHOD)(b"ab") == b"ba"
        assert time.monotonic() - started < 0.2
        assert await slow == b"later"


async def test_the_clients_deadline_ends_the_call(tcp: Serving) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(LATER)(b"5", timeout=0.2)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_health(tcp: Serving) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            asked = health_pb2.HealthCheckRequest(service=name)
            await tcp.server.health.set_serving(True)
            assert (await stub.Check(asked)).status == health_pb2.HealthCheckResponse.SERVING
            await tcp.server.health.set_serving(False)
            assert (await stub.Check(asked)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
        assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_drain_answers_what_is_in_flight(tcp: Serving) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        slow = asyncio.ensure_future(channel.unary_unary(LATER)(b"0.3"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await tcp.server.stop(5)
        assert time.monotonic() - started < 2
        assert await slow == b"later"


async def test_a_drain_does_not_wait_for_ever(tcp: Serving) -> None:
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        slow = asyncio.ensure_future(channel.unary_unary(LATER)(b"30"))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await tcp.server.stop(0.4)
        assert time.monotonic() - started < 1.5
        with pytest.raises(grpc.aio.AioRpcError):
            await slow


def preface() -> tuple[ngh2.Connection, bytes]:
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    return client, client.data_to_send()


async def test_bytes_one_by_one(tcp: Serving) -> None:
    client, start = preface()
    client.send_data(client.send_request(HEADERS), message(b"abc"), end_stream=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp.port)
    for byte in start + client.data_to_send():
        writer.write(bytes([byte]))
        await writer.drain()
    answer = b""
    while message(b"cba") not in answer:
        answer += await asyncio.wait_for(reader.read(4096), 5)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100], ids=["HTTP/1.1", "garbage"]
)
async def test_what_is_no_http2_is_closed(tcp: Serving, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tcp.port)
    writer.write(raw)
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert tcp.faults == []


async def test_a_silent_peer_is_pinged_and_then_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(h2, "SWEEP_SECONDS", 0.02)
    running = Serving("127.0.0.1:0")
    await running.server.start()
    _, start = preface()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(start)
    await asyncio.sleep(0.1)
    running.ahead_seconds = KEEPALIVE_SECONDS + 1
    ping = b"\x00\x00\x08\x06\x00"
    got = b""
    while ping not in got:
        got += await asyncio.wait_for(reader.read(4096), 5)
    running.ahead_seconds += KEEPALIVE_TIMEOUT_SECONDS
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    await running.server.stop(0.1)


async def test_a_peer_that_does_not_read_is_not_read_from(tcp: Serving) -> None:
    """It sends calls without end; what the server holds for it stays bounded."""
    _, start = preface()
    raw = socket.create_connection(("127.0.0.1", tcp.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(0.2)

    def flood() -> int:
        client = ngh2.Connection(ngh2.Role.CLIENT)
        client.initiate_connection()
        sent = 0
        data = client.data_to_send()
        try:
            for _ in range(100_000):
                client.send_data(client.send_request(HEADERS), message(b"a" * 200), end_stream=True)
                data += client.data_to_send()
                if not data:
                    break
                raw.sendall(data)
                sent += len(data)
                data = b""
        except (TimeoutError, OSError, ngh2.NGH2Error):
            pass
        return sent

    assert start
    sent = await asyncio.to_thread(flood)
    assert sent < 20_000_000
    raw.close()
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        assert await channel.unary_unary(METHOD)(b"ab") == b"ba"


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Tell whether the other side has ended a connection, whatever it said before."""
    try:
        async with asyncio.timeout(0.5):
            await reader.read()
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


async def test_of_too_many_connections_the_quietest_without_calls_goes(tcp: Serving) -> None:
    tcp.server._max_connections = 3
    opened = []
    for _ in range(3):
        opened.append(await asyncio.open_connection("127.0.0.1", tcp.port))
        await opened[-1][0].read(1)
        tcp.ahead_seconds += 1
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        busy = asyncio.ensure_future(channel.unary_unary(LATER)(b"3"))
        assert await is_closed(opened[0][0]), "it came first, and was heard of last"
        assert not await is_closed(opened[1][0])
        for _ in range(5):
            opened.append(await asyncio.open_connection("127.0.0.1", tcp.port))
            assert await opened[-1][0].read(1)
            tcp.ahead_seconds += 1
        assert len(tcp.server.connections) == 3
        assert [await is_closed(reader) for reader, _ in opened[1:6]] == [True] * 5
        assert await busy == b"later", "a call in flight keeps its connection"
    for _, writer in opened:
        writer.close()


async def test_a_call_that_is_half_sent_keeps_no_connection(tcp: Serving) -> None:
    tcp.server._max_connections = 2
    opened = []
    for _ in range(4):
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp.port)
        peer = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration())
        peer.initiate_connection({})
        peer.send_request(HEADERS)
        writer.write(peer.data_to_send())
        assert await reader.read(1)
        opened.append((reader, writer))
        tcp.ahead_seconds += 1
    assert [await is_closed(reader) for reader, _ in opened] == [True, True, False, False]
    for _, writer in opened:
        writer.close()


async def test_where_every_connection_has_a_call_in_flight_no_other_is_taken(tcp: Serving) -> None:
    tcp.server._max_connections = 1
    async with grpc.aio.insecure_channel(tcp.address) as channel:
        busy = asyncio.ensure_future(channel.unary_unary(LATER)(b"1"))
        async with asyncio.timeout(5):
            while not any(not each.is_idle for each in tcp.server.connections):
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp.port)
        assert await is_closed(reader)
        assert await busy == b"later"
    writer.close()


async def test_an_address_in_use_is_a_clear_fault(tcp: Serving) -> None:
    with pytest.raises(ListenFault, match="in use"):
        await Serving(tcp.address).server.start()


async def test_a_successors_socket_stays_when_we_stop(tmp_path: Path) -> None:
    path = tmp_path / "h2.sock"
    first, second = Serving(f"unix:{path}"), Serving(f"unix:{path}")
    await first.server.start()
    await second.server.start()  # in the same place
    await first.server.stop(0.1)
    assert path.is_socket()
    await second.server.stop(0.1)
    assert not path.exists()
