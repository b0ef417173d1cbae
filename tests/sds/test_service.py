"""SDS and ADS as grpcio's own client sees them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import pytest
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status

from sidecar.certs.material import Material
from sidecar.certs.store import CertificateStore
from sidecar.sds.resources import SECRET_TYPE
from sidecar.sds.service import AGGREGATED_SERVICE, SECRET_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer

SOTW = [f"/{SECRET_SERVICE}/StreamSecrets", f"/{AGGREGATED_SERVICE}/StreamAggregatedResources"]
DELTA = [f"/{SECRET_SERVICE}/DeltaSecrets", f"/{AGGREGATED_SERVICE}/DeltaAggregatedResources"]


def material(serial: str, not_after: float = 1e10) -> Material:
    return Material(
        chain_pem=f"chain {serial}".encode(), key_pem=f"key {serial}".encode(),
        names=("a.example",), serial=serial, not_before=0, not_after=not_after,
    )  # fmt: skip


@dataclass
class Serving:
    store: CertificateStore
    service: SdsService
    channel: grpc.aio.Channel
    streams: list[int] = field(default_factory=list)
    pushes: list[int] = field(default_factory=list)
    nacks: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    streams: list[int] = []
    pushes: list[int] = []
    nacks: list[tuple[str, str]] = []
    store = CertificateStore(lambda: 1000.0)
    events = SdsEvents(
        streams.append, pushes.append, lambda node, words: nacks.append((node, words))
    )
    service = SdsService(store, events)
    server = GrpcServer("127.0.0.1:0", SECRET_SERVICE, service.handlers(), max_message_bytes=10_000)
    await server.start()
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        yield Serving(store, service, channel, streams, pushes, nacks)
    service.drain()
    await server.stop(1)


async def read_sotw(call: grpc.aio.StreamStreamCall) -> dict[str, Secret]:
    raw = await asyncio.wait_for(call.read(), 5)
    response = DiscoveryResponse.parse(raw)
    assert response.type_url == SECRET_TYPE
    secrets = [Secret.parse(each.value) for each in response.resources]
    return {secret.name: secret for secret in secrets}


def chain(secret: Secret) -> bytes | None:
    assert secret.tls_certificate is not None
    assert secret.tls_certificate.certificate_chain is not None
    return secret.tls_certificate.certificate_chain.inline_bytes


@pytest.mark.parametrize("method", SOTW)
async def test_state_of_the_world(serving: Serving, method: str) -> None:
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(method)()
    node = Node(id="gw-1")
    await call.write(
        bytes(DiscoveryRequest(node=node, type_url=SECRET_TYPE, resource_names=["edge"]))
    )
    assert chain((await read_sotw(call))["edge"]) == b"chain 1"
    serving.store.put("other", material("9"))
    serving.store.put("edge", material("2"))
    assert chain((await read_sotw(call))["edge"]) == b"chain 2"
    refusal = DiscoveryRequest(
        type_url=SECRET_TYPE, resource_names=["edge"], response_nonce="2", version_info="1",
        error_detail=Status(code=13, message="KEY_VALUES_MISMATCH"),
    )  # fmt: skip
    await call.write(bytes(refusal))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(call.read())), 0.2)
    assert serving.nacks == [("gw-1", "KEY_VALUES_MISMATCH")]
    call.cancel()


@pytest.mark.parametrize("method", DELTA)
async def test_delta(serving: Serving, method: str) -> None:
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(method)()
    asked = DeltaDiscoveryRequest(
        type_url=SECRET_TYPE, resource_names_subscribe=["edge", "none", "kept"],
        initial_resource_versions={"kept": "7"},
    )  # fmt: skip
    serving.store.put("kept", material("7"))
    await call.write(bytes(asked))
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert [each.name for each in response.resources] == ["edge"]
    assert response.removed_resources == ["none"]
    serving.store.put("none", material("3"))
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert [(each.name, each.version) for each in response.resources] == [("none", "3")]
    call.cancel()


async def test_fetch(serving: Serving) -> None:
    serving.store.put("edge", material("1"))
    fetch = serving.channel.unary_unary(f"/{SECRET_SERVICE}/FetchSecrets")
    raw = await fetch(bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["edge"])))
    assert len(DiscoveryResponse.parse(raw).resources) == 1
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await fetch(bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["none"])))
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_expired_certificate_is_not_served(serving: Serving) -> None:
    serving.store.put("edge", material("1", not_after=999.0))
    fetch = serving.channel.unary_unary(f"/{SECRET_SERVICE}/FetchSecrets")
    with pytest.raises(grpc.aio.AioRpcError):
        await fetch(bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["edge"])))


CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
BAD = [
    ("another type", bytes(DiscoveryRequest(type_url=CLUSTERS)), grpc.StatusCode.INVALID_ARGUMENT),
    ("garbage", b"\x1a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT),
    (
        "a name too long",
        bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["x" * 600])),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ),
    ("a message too large", b"\x0a" * 20_000, grpc.StatusCode.RESOURCE_EXHAUSTED),
]


@pytest.mark.parametrize(("raw", "status"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_what_is_refused(serving: Serving, raw: bytes, status: grpc.StatusCode) -> None:
    call = serving.channel.stream_stream(SOTW[0])()
    await call.write(raw)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asyncio.wait_for(call.read(), 5)
    assert refused.value.code() is status


async def test_a_client_that_leaves_is_forgotten_and_a_drain_ends_the_rest(
    serving: Serving,
) -> None:
    calls = [serving.channel.stream_stream(SOTW[0])() for _ in range(3)]
    for call in calls:
        await call.write(bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["x"])))
    while serving.streams[-1:] != [3]:
        await asyncio.sleep(0.01)
    calls[0].cancel()
    while serving.streams[-1] != 2:
        await asyncio.sleep(0.01)
    serving.service.drain()
    for call in calls[1:]:
        assert await asyncio.wait_for(call.read(), 5) is grpc.aio.EOF
    assert await calls[1].code() is grpc.StatusCode.OK


async def test_a_flood_of_requests_is_taken_one_by_one(serving: Serving) -> None:
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(SOTW[0])()
    for _ in range(500):
        await call.write(bytes(DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["edge"])))
    assert "edge" in await read_sotw(call)
    call.cancel()
