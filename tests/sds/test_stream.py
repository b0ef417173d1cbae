"""Subscriptions over the wire, in both services and both variants, and names on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.google.rpc import Status

from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.on_demand import OBTAINING, Obtaining
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import AGGREGATED_SERVICE, SDS_SERVICE, SdsEvents, SdsService
from sidecar.sds.stream import EvictionPolicy
from tests.support.sds_channel import channel_to
from workload.x509.material import Material

SOTW = [f"/{SDS_SERVICE}/StreamSecrets", f"/{AGGREGATED_SERVICE}/StreamAggregatedResources"]
DELTA = [f"/{SDS_SERVICE}/DeltaSecrets", f"/{AGGREGATED_SERVICE}/DeltaAggregatedResources"]


def material(serial: str) -> Material:
    return Material(b"chain", b"key", ("a.example",), serial, 0, 1e10)


def serial_in(version: str) -> str:
    """A version begins with the serial, for who reads it in Envoy's config dump."""
    return version.partition(".")[0]


class SecretSource:
    """Names on demand: what is here is held, what is in ``slow`` is being obtained."""

    def __init__(self) -> None:
        self.held: dict[str, Material] = {}
        self.slow: set[str] = set()
        self.lost: set[str] = set()
        self.asked: list[tuple[str, bool]] = []
        self.tell: Callable[[str], None] = lambda _: None

    def lookup(self, name: str, *, waits: bool) -> Material | Obtaining | None:
        self.asked.append((name, waits))
        return self.held.get(name) or (OBTAINING if name in self.slow else None)

    def refuses(self, name: str) -> bool:
        return name not in self.held

    def could_serve_again(self, name: str) -> bool:
        return name not in self.lost

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        self.tell = changed
        return lambda: None


class Serving:
    def __init__(self) -> None:
        self.now = 0.0
        self.store = CertificateStore(lambda: 0.0)
        self.source = SecretSource()
        self.numbers = SdsMetrics()
        events = SdsEvents(self.numbers.streams, self.numbers.push, self.numbers.nack)
        self.service = SdsService(
            self.store,
            events,
            on_demand=self.source,
            configured={"edge", "other"},
            eviction=EvictionPolicy(100.0, 3, lambda: self.now, lambda: 0.0),
        )
        self.channel: grpc.aio.Channel

    async def delta(self, method: str = DELTA[1]) -> "DeltaCall":
        return DeltaCall(self.channel.stream_stream(method)())

    async def sotw(self, method: str = SOTW[1]) -> "SotwCall":
        return SotwCall(self.channel.stream_stream(method)())


class DeltaCall:
    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, *names: str, **more: Any) -> None:
        asked = DeltaDiscoveryRequest(
            type_url=SDS_TYPE_URL, resource_names_subscribe=list(names), **more
        )
        await self.call.write(bytes(asked))

    async def read(self) -> DeltaDiscoveryResponse:
        return DeltaDiscoveryResponse.parse(await asyncio.wait_for(self.call.read(), 5))

    async def got(self) -> list[str]:
        """The next answer: ``name@serial`` for resources, ``-name`` for removals."""
        answer = await self.read()
        sent = [f"{each.name}@{serial_in(each.version)}" for each in answer.resources]
        return [*sent, *(f"-{name}" for name in answer.removed_resources)]

    async def silent(self) -> bool:
        done, _ = await asyncio.wait([asyncio.ensure_future(self.call.read())], timeout=0.15)
        return not done


class SotwCall(DeltaCall):
    async def ask(self, *names: str, **more: Any) -> None:
        asked = DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=list(names), **more)
        await self.call.write(bytes(asked))

    async def got(self) -> list[str]:
        answer = DiscoveryResponse.parse(await asyncio.wait_for(self.call.read(), 5))
        return [serial_in(answer.version_info)] * len(answer.resources)


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    made = Serving()
    async with channel_to(made.service) as made.channel:
        yield made


@pytest.mark.parametrize("method", SOTW)
async def test_state_of_the_world_grows_shrinks_and_ignores_what_is_stale(
    serving: Serving, method: str
) -> None:
    serving.store.put("edge", material("1"))
    serving.store.put("other", material("2"))
    call = await serving.sotw(method)
    await call.ask("edge")
    assert await call.got() == ["1"]
    await call.ask("edge", "other", response_nonce="1", version_info="1")
    assert await call.got() == ["2"], "only what is new"
    await call.ask("other", response_nonce="1", version_info="1")  # stale: says nothing
    serving.store.put("edge", material("3"))
    assert await call.got() == ["3"], "still subscribed to"
    await call.ask("other", response_nonce="3", version_info="3")
    await asyncio.sleep(0.1)
    serving.store.put("edge", material("4"))
    serving.store.put("other", material("5"))
    assert await call.got() == ["5"], "no longer subscribed to"
    call.call.cancel()


@pytest.mark.parametrize("method", DELTA)
async def test_delta_grows_shrinks_and_counts_a_refusal(serving: Serving, method: str) -> None:
    serving.store.put("edge", material("1"))
    serving.store.put("other", material("2"))
    call = await serving.delta(method)
    await call.ask("edge")
    first = await call.read()
    await call.ask("other", response_nonce=first.nonce)
    assert await call.got() == ["other@2"]
    await call.ask(resource_names_unsubscribe=["edge"])
    await asyncio.sleep(0.1)
    serving.store.put("edge", material("3"))
    serving.store.put("other", material("4"))
    answer = await call.read()
    assert [serial_in(each.version) for each in answer.resources] == ["4"]
    words = Status(code=13, message="KEY_VALUES_MISMATCH")
    await call.ask(response_nonce=answer.nonce, error_detail=words)
    assert await call.silent(), "no loop"
    counted = {f.name: f.samples[0].value for f in serving.numbers.families()}
    assert counted["septem_sds_nacks"] == 1
    call.call.cancel()


@pytest.mark.parametrize("method", DELTA)
async def test_a_name_on_demand_waits_until_it_is_there_or_refused(
    serving: Serving, method: str
) -> None:
    call = await serving.delta(method)
    serving.source.slow = {"a.example", "b.example"}
    await call.ask("a.example", "b.example", "no.example")
    assert await call.got() == ["-no.example"]
    serving.source.slow.clear()
    serving.source.held["a.example"] = material("7")
    serving.source.tell("b.example")
    assert await call.got() == ["-b.example"]
    serving.source.tell("a.example")
    assert await call.got() == ["a.example@7"]
    assert all(waits for _, waits in serving.source.asked)
    call.call.cancel()


async def test_a_client_that_reconnects_orders_nothing_for_what_it_holds(serving: Serving) -> None:
    """It keeps what it holds, unless that is known to be unregistered; the rest it asks for."""
    serving.source.slow = {"held.example"}
    call = await serving.delta()
    names = ("held.example", "gone.example", "new.example")
    held = {"held.example": "1", "gone.example": "1"}
    await call.ask(*names, initial_resource_versions=held)
    assert await call.got() == ["-gone.example", "-new.example"]
    assert serving.source.asked == [
        ("held.example", False), ("gone.example", False), ("new.example", True)
    ]  # fmt: skip
    serving.now = 101.0
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-held.example"], "in its time it is asked for anew"
    call.call.cancel()


async def test_names_past_their_ttl_or_beyond_the_bound_are_evicted(serving: Serving) -> None:
    call = await serving.delta()
    serving.store.put("edge", material("1"))
    await call.ask("edge")
    assert await call.got() == ["edge@1"]
    for at, name in enumerate(("a.example", "b.example", "c.example", "d.example")):
        serving.now = float(at)
        serving.source.held[name] = material("1")
        await call.ask(name)
        assert await call.got() == [f"{name}@1"]
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-a.example"], "three are allowed"
    serving.now = 101.5
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-b.example"]
    await call.ask("b.example", resource_names_unsubscribe=["c.example"])
    assert await call.got() == ["b.example@1"]
    serving.now = 150.0
    assert serving.service.evict_overdue() == 1, "an evicted name is counted no longer"
    assert await call.got() == ["-d.example"]
    serving.now = 1000.0
    serving.service.evict_overdue()
    assert await call.got() == ["-b.example"]
    assert await call.silent(), "what is configured is never taken back"
    call.call.cancel()


async def test_a_reload_changes_what_is_configured_and_how_long_the_rest_is_held(
    serving: Serving,
) -> None:
    call = await serving.delta()
    serving.source.held = {"a.example": material("1"), "b.example": material("1")}
    await call.ask("a.example")
    assert await call.got() == ["a.example@1"]
    policy = EvictionPolicy(10.0, 3, lambda: serving.now, lambda: 0.0)
    serving.service.use_on_demand({"edge"}, policy)
    await call.ask("b.example")
    assert await call.got() == ["b.example@1"]
    serving.now = 11.0
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-b.example"], "the other was sent with the TTL before"
    serving.source.held["other"] = material("9")
    await call.ask("other")
    assert await call.got() == ["other@9"], "it is configured no more"


async def test_names_that_could_not_be_served_again_are_not_evicted(serving: Serving) -> None:
    call = await serving.delta()
    serving.source.held = {"a.example": material("1"), "b.example": material("1")}
    await call.ask("a.example", "b.example")
    for _ in range(2):
        await call.got()
    serving.source.lost = {"a.example"}
    serving.now = 101.0
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-b.example"]
    serving.source.lost.clear()
    assert serving.service.evict_overdue() == 0
    serving.now = 162.0
    assert serving.service.evict_overdue() == 1
    assert await call.got() == ["-a.example"]
    call.call.cancel()


async def test_withdrawn_names_are_evicted_from_every_client(serving: Serving) -> None:
    serving.source.held = {"a.example": material("1"), "b.example": material("1")}
    serving.store.put("edge", material("1"))
    calls = [await serving.delta(method) for method in DELTA]
    for call in calls:
        await call.ask("a.example", "b.example", "edge")
        for _ in range(3):
            await call.got()
    del serving.source.held["b.example"]
    await serving.service.evict_withdrawn()
    for call in calls:
        assert await call.got() == ["-b.example"]
        call.call.cancel()


@pytest.mark.parametrize("method", SOTW)
async def test_state_of_the_world_obtains_nothing_on_demand(serving: Serving, method: str) -> None:
    serving.source.held["a.example"] = material("1")
    serving.store.put("edge", material("2"))
    call = await serving.sotw(method)
    await call.ask("a.example", "edge")
    assert await call.got() == ["2"]
    assert await call.silent()
    assert serving.source.asked == []
    call.call.cancel()


async def test_a_fetch_obtains_nothing(serving: Serving) -> None:
    serving.source.held["a.example"] = material("1")
    fetch = serving.channel.unary_unary(f"/{SDS_SERVICE}/FetchSecrets")
    asked = DiscoveryRequest(type_url=SDS_TYPE_URL, resource_names=["a.example", "no.example"])
    assert len(DiscoveryResponse.parse(await fetch(bytes(asked))).resources) == 1
    assert not any(waits for _, waits in serving.source.asked)
