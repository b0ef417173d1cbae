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

from sidecar.certificates.managed.store import CertificateStore
from sidecar.sds.resources import SDS_TYPE_URL, generic_secret
from sidecar.sds.service import AGGREGATED_SERVICE, SDS_SERVICE, SdsEvents, SdsService
from tests.support.sds_channel import channel_to
from workload.x509.material import Material

SOTW = [f"/{SDS_SERVICE}/StreamSecrets", f"/{AGGREGATED_SERVICE}/StreamAggregatedResources"]
DELTA = [f"/{SDS_SERVICE}/DeltaSecrets", f"/{AGGREGATED_SERVICE}/DeltaAggregatedResources"]


CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


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
    clock: list[float] = field(default_factory=list)


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    streams: list[int] = []
    pushes: list[int] = []
    nacks: list[tuple[str, str]] = []
    clock = [1000.0]
    store = CertificateStore(lambda: clock[0])
    events = SdsEvents(
        streams.append, pushes.append, lambda node, words: nacks.append((node, words))
    )
    service = SdsService(store, events)
    async with channel_to(service, max_message_bytes=10_000) as channel:
        yield Serving(store, service, channel, streams, pushes, nacks, clock)


async def read_sotw(call: grpc.aio.StreamStreamCall) -> dict[str, Secret]:
    raw = await asyncio.wait_for(call.read(), 5)
    response = DiscoveryResponse.parse(raw)
    assert response.type_url == SDS_TYPE_URL
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
        bytes(DiscoveryRequest(node=node, type_url=SDS_TYPE_URL, resource_names=["edge"]))
    )
    assert chain((await read_sotw(call))["edge"]) == b"chain 1"
    serving.store.put("other", material("9"))
    serving.store.put("edge", material("2"))
    assert chain((await read_sotw(call))["edge"]) == b"chain 2"
    refusal = DiscoveryRequest(
        type_url=SDS_TYPE_URL, resource_names=["edge"], response_nonce="2", version_info="1",
        error_detail=Status(code=13, message="KEY_VALUES_MISMATCH"),
    )  # fmt: skip
    await call.write(bytes(refusal))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(call.read())), 0.2)
    assert serving.nacks == [("gw-1", "'edge': KEY_VALUES_MISMATCH")]
    call.cancel()


@pytest.mark.parametrize("method", DELTA)
async def test_delta(serving: Serving, method: str) -> None:
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(method)()
    asked = DeltaDiscoveryRequest(
        type_url=SDS_TYPE_URL, resource_names_subscribe=["edge", "none", "kept"],
        initial_resource_versions={"kept": material("7").version},
    )  # fmt: skip
    serving.store.put("kept", material("7"))
    await call.write(bytes(asked))
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert [each.name for each in response.resources] == ["edge"]
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert (response.resources, response.removed_resources) == ([], ["none"])
    serving.store.put("none", material("3"))
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    got = [(each.name, each.version) for each in response.resources]
    assert got == [("none", material("3").version)]
    call.cancel()


async def test_fetch(serving: Serving) -> None:
    serving.store.put("edge", material("1"))
    fetch = serving.channel.unary_unary(f"/{SDS_SERVICE}/FetchSecrets")
    raw = await fetch(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["edge"])))
    assert len(DiscoveryResponse.parse(raw).resources) == 1
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await fetch(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["none"])))
    assert missing.value.code() is grpc.StatusCode.NOT_FOUND


FETCHES = [
    ("garbage", b"\x1a\x02\xff\xfe"),
    ("another type", bytes(DiscoveryRequest(type_url="x", resource_names=["edge"]))),
    ("too many names", bytes(DiscoveryRequest(resource_names=["edge"] * 101))),
]


@pytest.mark.parametrize("raw", [f[1] for f in FETCHES], ids=[f[0] for f in FETCHES])
async def test_a_bad_fetch(serving: Serving, raw: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await serving.channel.unary_unary(f"/{SDS_SERVICE}/FetchSecrets")(raw)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_expired_certificate_is_removed(serving: Serving) -> None:
    serving.store.put("edge", material("1", not_after=2000.0))
    call = serving.channel.stream_stream(DELTA[1])()
    await call.write(
        bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, resource_names_subscribe=["edge"]))
    )
    assert DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5)).resources
    serving.clock[0] = 2000.0
    serving.store.announce("edge")
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert response.removed_resources == ["edge"]
    call.cancel()


async def test_a_secret_that_is_no_certificate_is_served_and_removed(serving: Serving) -> None:
    serving.service.secrets.put(generic_secret("password", "1", {"": b"x"}))
    call = serving.channel.stream_stream(DELTA[0])()
    await call.write(
        bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, resource_names_subscribe=["password"]))
    )
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert [each.name for each in response.resources] == ["password"]
    serving.service.secrets.remove("password")
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    assert response.removed_resources == ["password"]
    call.cancel()


async def test_a_client_that_says_no_more_is_answered_first(serving: Serving) -> None:
    """As with grpcurl, which asks and then closes its half of the stream."""
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(SOTW[0])()
    await call.write(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["edge"])))
    await call.done_writing()
    assert "edge" in await read_sotw(call)
    assert await asyncio.wait_for(call.read(), 5) is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_over_ads_another_type_is_left_waiting_and_secrets_are_served(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    serving.store.put("edge", material("1"))
    call = serving.channel.stream_stream(SOTW[1])()
    for type_url, names in ((CLUSTERS, []), (CLUSTERS, []), (SDS_TYPE_URL, ["edge"])):
        await call.write(bytes(DiscoveryRequest(type_url=type_url, resource_names=names)))
    assert "edge" in await read_sotw(call)
    assert [record.name for record in caplog.records] == ["sidecar.sds"], "told once"
    call.cancel()


async def test_over_ads_the_type_must_be_named(serving: Serving) -> None:
    call = serving.channel.stream_stream(SOTW[1])()
    await call.write(bytes(DiscoveryRequest(resource_names=["edge"])))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asyncio.wait_for(call.read(), 5)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_thousand_names_on_one_stream(serving: Serving) -> None:
    names = [f"n{number}" for number in range(1000)]
    for name in names:
        serving.store.put(name, material("1"))
    call = serving.channel.stream_stream(DELTA[1])()
    held: set[str] = set()
    for start in range(0, 1000, 200):
        asked = DeltaDiscoveryRequest(
            type_url=SDS_TYPE_URL, resource_names_subscribe=names[start : start + 200]
        )
        await call.write(bytes(asked))
    while len(held) < 1000:
        response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
        held.update(each.name for each in response.resources)
        await call.write(
            bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, response_nonce=response.nonce))
        )
    serving.store.put("n500", material("2"))
    response = DeltaDiscoveryResponse.parse(await asyncio.wait_for(call.read(), 5))
    got = [(each.name, each.version) for each in response.resources]
    assert got == [("n500", material("2").version)]
    call.cancel()


async def test_an_expired_certificate_is_not_served(serving: Serving) -> None:
    serving.store.put("edge", material("1", not_after=999.0))
    fetch = serving.channel.unary_unary(f"/{SDS_SERVICE}/FetchSecrets")
    with pytest.raises(grpc.aio.AioRpcError):
        await fetch(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["edge"])))


BAD = [
    ("another type", bytes(DiscoveryRequest(type_url=CLUSTERS)), grpc.StatusCode.INVALID_ARGUMENT),
    ("garbage", b"\x1a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT),
    (
        "a name too long",
        bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["x" * 600])),
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
        await call.write(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["x"])))
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
        await call.write(bytes(DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["edge"])))
    assert "edge" in await read_sotw(call)
    call.cancel()
