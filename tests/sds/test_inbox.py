"""Requests that wait, in bounds: of one stream, and of all together."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

from sidecar.certificates.managed.store import CertificateStore
from sidecar.sds import inbox, service, stream
from sidecar.sds.inbox import MAX_UNREAD_BYTES, MAX_UNREAD_REQUESTS, OWN_BYTES, Inbox, Shared
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.sds.subscription import Resource
from tests.support.sds_channel import channel_to
from tests.support.waiting import until


async def has_room(box: Inbox) -> bool:
    try:
        async with asyncio.timeout(0.01):
            await box.room()
    except TimeoutError:
        return False
    return True


FILLS = [
    ("many", b"", MAX_UNREAD_REQUESTS),
    ("large", b"x" * (MAX_UNREAD_BYTES // 4), 4),
    ("one", b"x" * MAX_UNREAD_BYTES, 1),
]


@pytest.mark.parametrize(("raw", "count"), [f[1:] for f in FILLS], ids=[f[0] for f in FILLS])
async def test_a_stream_is_read_until_its_inbox_is_full_and_again_when_it_is_empty(
    raw: bytes, count: int
) -> None:
    shared = Shared()
    box = Inbox(shared)
    for number in range(count):
        assert await has_room(box), number
        assert box.put(raw)
    assert not await has_room(box)
    assert shared.bytes == max(0, count * len(raw) - OWN_BYTES)
    for _ in range(count):
        assert not await has_room(box)
        assert box.pop() == raw
    assert await has_room(box)
    assert not box
    assert shared.bytes == 0


async def test_unread_bytes_of_all_streams_are_bounded_and_each_has_a_share() -> None:
    shared = Shared(max_bytes=1000)
    first, second = Inbox(shared), Inbox(shared)
    assert first.put(b"x" * (OWN_BYTES + 1000))
    assert not first.put(b"x")
    assert second.put(b"x" * OWN_BYTES)
    assert not second.put(b"x")
    assert shared.bytes == 1000
    first.clear()
    assert second.put(b"x" * 1000)
    second.clear()
    assert shared.bytes == 0


def test_names_are_counted_until_they_are_returned() -> None:
    shared = Shared(max_names=10)
    assert shared.take_names(10)
    assert not shared.take_names(1)
    assert shared.take_names(-2)
    assert shared.take_names(1)


class Serving:
    """A service with many secrets, and a channel to it."""

    def __init__(self) -> None:
        self.streams = 0
        self.pushed = 0
        self.service = SdsService(
            CertificateStore(lambda: 0.0),
            SdsEvents(self._count, self._push, lambda _node, _words: None),
        )
        for number in range(20_000):
            self.service.secrets.put(Resource(f"n{number}", "1", b"x" * 4000))
        self.channel: grpc.aio.Channel

    def _count(self, streams: int) -> None:
        self.streams = streams

    def _push(self, count: int) -> None:
        self.pushed += count

    async def stalled(self) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
        """Open a stream that asks for everything and reads nothing, until it is full."""
        call = self.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
        names = [f"n{number}" for number in range(20_000)]
        await call.write(asked(resource_names_subscribe=names))
        before = -1
        while not self.pushed or before != self.pushed:
            before = self.pushed
            await asyncio.sleep(0.3)
        return call


def asked(**more: list[str]) -> bytes:
    return bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, **more))  # type: ignore[arg-type]


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    made = Serving()
    async with channel_to(made.service) as made.channel:
        yield made


async def until_streams(streams: int, serving: Serving) -> None:
    await until(lambda: serving.streams == streams, explain=lambda: serving.streams)


LARGE = asked(resource_names_unsubscribe=["z" * 500] * 2000)


async def test_a_client_that_does_not_read_is_not_read_from(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred requests of a megabyte, one waits here; then its stream ends."""
    monkeypatch.setattr(stream, "WRITE_SECONDS", 4.0)
    shared = serving.service._shared
    call = await serving.stalled()
    most = 0

    async def flood() -> None:
        for _ in range(100):
            await call.write(LARGE)

    flooding = asyncio.ensure_future(flood())
    async with asyncio.timeout(30):
        while serving.streams:
            most = max(most, shared.bytes)
            await asyncio.sleep(0.02)
    assert len(LARGE) - OWN_BYTES <= most < 2 * len(LARGE)
    assert shared.bytes == shared.names == 0
    call.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_the_names_of_all_streams_are_bounded(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.service, "_shared", inbox.Shared(max_names=10))
    calls = [serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")() for _ in "ab"]
    await calls[0].write(asked(resource_names_subscribe=[f"a{n}" for n in range(10)]))
    await calls[0].read()
    await calls[1].write(asked(resource_names_subscribe=["b"]))
    assert await calls[1].code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    calls[0].cancel()
    await until_streams(0, serving)
    again = serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    await again.write(asked(resource_names_subscribe=["b"]))
    await again.read()
    again.cancel()


async def test_a_request_that_does_not_fit_ends_its_stream_alone(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.service, "_shared", inbox.Shared(max_bytes=len(LARGE) // 2))
    well = serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    await well.write(asked(resource_names_subscribe=["n1"]))
    await well.read()
    other = serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    await other.write(LARGE)
    assert await other.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await until_streams(1, serving)
    await well.write(asked(resource_names_subscribe=["n2"]))
    await well.read()
    well.cancel()


async def test_streams_are_bounded(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_STREAMS", 1)
    held = serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    await held.write(asked(resource_names_subscribe=["n1"]))
    await held.read()
    more = serving.channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    assert await more.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    held.cancel()
