"""The listener of SDS has the guard that its address needs."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from demo.process import free_ports
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import wall_seconds
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.sds.listener import open_listener
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.identities import Trusted
from sidecar.transport.listener_bounds import SDS
from sidecar.transport.remote_peers import ListenerTls, RemotePeers
from tests.config.documents import MINIMAL
from tests.support.authorities import Ca
from workload.mtls import WorkloadIdentity
from workload.x509.anchors import read_anchors

CA = Ca("platform")
SIDECAR, A, B = (f"spiffe://septemcore/{each}" for each in ("sidecar", "a", "b"))
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture
async def context() -> AsyncIterator[AppContext]:
    made = AppContext(parse_config(MINIMAL, "test"))
    made.bounds = {SDS: 16}
    yield made
    await made.stack.aclose()


def service(metrics: SdsMetrics) -> SdsService:
    events = SdsEvents(metrics.streams, metrics.push, metrics.nack)
    return SdsService(CertificateStore(wall_seconds), events)


async def code_of(channel: grpc.aio.Channel, method: str) -> grpc.StatusCode:
    try:
        await channel.unary_unary(method)(b"", timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("on_unix", [False, True], ids=["loopback", "a Unix socket"])
async def test_on_this_machine(
    context: AppContext, tmp_path: Path, caplog: pytest.LogCaptureFixture, on_unix: bool
) -> None:
    metrics = SdsMetrics()
    address = f"unix:{tmp_path}/s" if on_unix else f"127.0.0.1:{free_ports(1)[0]}"
    settings = model.SdsListen(address=address)
    handlers = service(metrics).handlers()
    assert await open_listener(context, settings, handlers, metrics, None) is None
    async with grpc.aio.insecure_channel(address) as channel:
        assert await code_of(channel, HEALTH) is grpc.StatusCode.OK
    assert ("any process of this machine may fetch secrets" in caplog.text) is not on_unix


@pytest.mark.parametrize("peer", [A, B], ids=["on the list", "not on it"])
async def test_over_mutual_tls(context: AppContext, peer: str) -> None:
    metrics = SdsMetrics()
    port = free_ports(1)[0]
    settings = model.SdsListen(address=f"127.0.0.1:{port}")
    anchors = read_anchors([CA.chain], (), wall_seconds())
    ours = CA.material(SIDECAR)
    trusted = Trusted(anchors, (A,))
    peers = RemotePeers(lambda: trusted, lambda: ours, wall_seconds, ListenerTls(("h2",)))
    guard = await open_listener(context, settings, service(metrics).handlers(), metrics, peers)
    assert guard is not None
    client = WorkloadIdentity(wall_seconds)
    client.show(CA.material(peer))
    client.believe(anchors)
    async with client.grpc_tunnel("127.0.0.1", port, [SIDECAR]) as tunnel:
        found = await code_of(tunnel.channel, f"/{SDS_SERVICE}/FetchSecrets")
    counted = {each.name: each.samples[0].value for each in metrics.families()}
    if peer == A:
        assert found is grpc.StatusCode.NOT_FOUND, "it answers: none of no secrets exists"
        assert counted["septem_sds_peers_refused"] == 0
    else:
        assert found is grpc.StatusCode.UNAVAILABLE
        assert counted["septem_sds_peers_refused"] >= 1
