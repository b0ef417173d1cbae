"""One connection of the fast engine on a transport in memory: what it writes, when, and its end."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import ngh2
import pytest

from sidecar.transport.grpc_headers import CarryTrace
from sidecar.transport.grpc_status import GrpcStatus, RpcError
from sidecar.transport.h2_connection import (
    KEEPALIVE_SECONDS,
    KEEPALIVE_TIMEOUT_SECONDS,
    H2Connection,
    Handle,
)
from sidecar.transport.limits import BufferAccount, Limits
from tests.support.waiting import until
from tests.transport.test_unary import HEADERS, PATH, message


class Owner:
    """A server of one connection, whose clock stands still."""

    def __init__(self, handle: Handle) -> None:
        self.handlers: Mapping[bytes, Handle] = {PATH: handle}
        self.paths = frozenset(self.handlers)
        self.limits = Limits()
        self.buffered = BufferAccount()
        self.traces: Mapping[bytes, CarryTrace] = {}
        self.clock: Callable[[], float] = lambda: 0.0
        self.faults: list[Exception] = []
        self.on_fault = self.faults.append
        self.admits = True
        self.forgotten: list[H2Connection] = []

    def admit(self, connection: H2Connection) -> bool:
        assert connection.is_idle
        return self.admits

    def forget(self, connection: H2Connection) -> None:
        self.forgotten.append(connection)


class Transport(asyncio.Transport):
    """Keeps what is written, and how the connection was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.done: list[str] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high
        assert low is None

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


class Wired:
    """A client in memory before a connection."""

    def __init__(self, handle: Handle) -> None:
        self.owner = Owner(handle)
        self.transport = Transport()
        self.connection = H2Connection(self.owner)
        self.connection.connection_made(self.transport)
        self.client = ngh2.Connection(ngh2.Role.CLIENT)
        self.client.initiate_connection()
        self.answers: dict[int, bytes] = {}
        self.statuses: dict[int, int] = {}
        self.hear()

    def ask(self, *payloads: bytes) -> list[int]:
        """Send calls in one read; return their streams."""
        streams = [self.client.send_request(HEADERS) for _ in payloads]
        for stream_id, payload in zip(streams, payloads, strict=True):
            self.client.send_data(stream_id, message(payload), end_stream=True)
        self.connection.data_received(self.client.data_to_send())
        self.hear()
        return streams

    def hear(self) -> None:
        """Process what was written."""
        for data in self.transport.written:
            self.client.receive_data(data)
        self.transport.written.clear()
        for event in self.client.events():
            match event:
                case ngh2.DataReceived(stream_id, data, _):
                    self.answers[stream_id] = data
                case ngh2.TrailersReceived(stream_id, fields) | ngh2.ResponseReceived(
                    stream_id, fields, _
                ):
                    self.statuses[stream_id] = int(dict(fields).get(b"grpc-status", b"-1"))


def echo(raw: bytes) -> bytes:
    return raw


def broken(raw: bytes) -> bytes:
    raise ValueError(raw)


def picky(raw: bytes) -> bytes:
    raise RpcError(GrpcStatus.NOT_FOUND, raw.decode())


async def test_one_read_is_answered_with_one_write() -> None:
    wired = Wired(echo)
    wired.transport.written.clear()
    streams = [wired.client.send_request(HEADERS) for _ in range(3)]
    for each in streams:
        wired.client.send_data(each, message(b"x"), end_stream=True)
    wired.connection.data_received(wired.client.data_to_send())
    assert len(wired.transport.written) == 1
    wired.hear()
    assert set(wired.answers) == set(streams)


@pytest.mark.parametrize(
    ("handle", "status", "faults"),
    [(echo, 0, 0), (picky, GrpcStatus.NOT_FOUND, 0), (broken, GrpcStatus.INTERNAL, 1)],
)
@pytest.mark.parametrize("later", [False, True])
async def test_what_a_handler_raises_is_a_status(
    handle: Callable[[bytes], bytes], status: int, faults: int, later: bool
) -> None:
    async def handle_later(raw: bytes) -> bytes:
        return handle(raw)

    wired = Wired(handle_later if later else handle)
    (stream_id,) = wired.ask(b"x")
    async with asyncio.timeout(5):
        while stream_id not in wired.statuses or wired.statuses[stream_id] < 0:
            await asyncio.sleep(0)
            wired.hear()
    assert wired.statuses[stream_id] == status
    assert len(wired.owner.faults) == faults
    assert wired.connection.is_idle
    assert not wired.transport.done, "the connection stays open"


async def test_a_lost_connection_cancels_what_is_pending() -> None:
    pending: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    wired = Wired(lambda _: pending)
    wired.ask(b"x")
    assert not wired.connection.is_idle
    wired.connection.connection_lost(None)
    assert pending.cancelled()
    assert wired.owner.forgotten == [wired.connection]


async def test_one_that_is_not_admitted_is_closed_unheard() -> None:
    owner, transport = Owner(echo), Transport()
    owner.admits = False
    H2Connection(owner).connection_made(transport)
    assert (transport.done, transport.written) == (["abort"], [])


@pytest.mark.parametrize(
    ("quiet_seconds", "pinged", "done"),
    [
        (KEEPALIVE_SECONDS, False, []),
        (KEEPALIVE_SECONDS + 1, True, []),
        (KEEPALIVE_SECONDS + KEEPALIVE_TIMEOUT_SECONDS, True, []),
        (KEEPALIVE_SECONDS + KEEPALIVE_TIMEOUT_SECONDS + 1, False, ["abort"]),
    ],
)
async def test_a_quiet_peer_is_pinged_and_a_silent_one_disconnected(
    quiet_seconds: float, pinged: bool, done: list[str]
) -> None:
    wired = Wired(echo)
    wired.connection.sweep(quiet_seconds)
    if not done:
        wired.connection.sweep(quiet_seconds)
    ping = b"\x00\x00\x08\x06\x00"
    assert b"".join(wired.transport.written).count(ping) == pinged, "only once"
    assert wired.transport.done == done


async def test_what_is_no_http2_closes_and_is_no_fault() -> None:
    wired = Wired(echo)
    wired.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert wired.transport.is_closing()
    assert wired.owner.faults == []


async def test_a_defect_while_reading_is_reported_and_the_connection_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wired = Wired(echo)

    def fail(*_: object) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr("sidecar.transport.unary.UnaryConnection.receive", fail)
    wired.connection.data_received(b"x")
    assert wired.transport.done == ["abort"]
    assert [type(each) for each in wired.owner.faults] == [LookupError]


async def test_it_reads_no_more_while_its_peer_does_not() -> None:
    wired = Wired(echo)
    wired.connection.pause_writing()
    wired.connection.resume_writing()
    assert wired.transport.done == ["pause", "resume"]
    wired.transport.close()
    wired.connection.pause_writing()
    wired.connection.resume_writing()
    assert wired.transport.done == ["pause", "resume", "close"]


async def test_a_drained_connection_closes_with_its_last_answer() -> None:
    pending: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    wired = Wired(lambda _: pending)
    (stream_id,) = wired.ask(b"x")
    wired.connection.announce_drain()
    wired.connection.drain()
    assert wired.transport.done == []
    pending.set_result(b"late")
    await until(lambda: wired.transport.done == ["close"])
    wired.hear()
    assert wired.answers[stream_id] == message(b"late")
