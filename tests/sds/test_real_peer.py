"""A real Envoy over a Unix socket, whose user is looked at before it is given a key."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.handshake import Handshaker
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import free_ports
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.transport.guard import make_guard
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile
from workload.x509.material import Material

pytestmark = pytest.mark.real
STRANGER = 4_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: that of a socket may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="sds-") as made:
        yield Path(made)


async def edge_certificate(openbao: OpenBao, token_file: TokenFile) -> Material:
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    issuer = PkiIssuer(model.VaultPkiIssuer(name="internal", role="edge"), vault, wall_seconds)
    material = await issuer.issue(Order("edge", ("localhost",)))
    await vault.close()
    return material


@pytest.mark.parametrize("uids", [(), (STRANGER,)], ids=["our user", "another user"])
async def test_only_the_user_that_is_named_is_given_a_certificate(
    uids: tuple[int, ...], openbao: OpenBao, token_file: TokenFile, folder: Path
) -> None:
    store = CertificateStore(wall_seconds)
    store.put("edge", await edge_certificate(openbao, token_file))
    metrics = SdsMetrics()
    service = SdsService(store, SdsEvents(metrics.streams, metrics.push, metrics.nack))
    path = folder / "sds.sock"
    settings = model.SdsListen(address=f"unix:{path}", peer_uids=uids)
    # Envoy is a child of this process here, which the guard would refuse.
    guard = make_guard(settings, metrics.refuse_peer, is_child=lambda _pid: False)
    assert guard is not None
    guard.prepare()
    server = GrpcServer(
        guard.inner_address, SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304
    )
    await server.start()
    guard.start()
    http, https, admin, nowhere = free_ports(4)
    config = edge_config(EdgePorts(http, https, admin, nowhere, nowhere, nowhere))
    (sds,) = [c for c in config["static_resources"]["clusters"] if c["name"] == "sidecar_sds"]
    (locality,) = sds["load_assignment"]["endpoints"]
    locality["lb_endpoints"][0]["endpoint"]["address"] = {"pipe": {"path": str(path)}}
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for each in find_sources(chain):
                each["initial_fetch_timeout"] = "0.5s"
    envoy = await asyncio.to_thread(Envoy, config, folder)
    try:
        hands = Handshaker(https, openbao.client.secrets.pki.read_ca_certificate())
        done = await asyncio.to_thread(hands.shake, "localhost")
        counted = {f.name: f.samples[0].value for f in metrics.families()}
        if uids:
            assert not done.done
            assert counted["septem_sds_peers_refused"] > 0
            assert counted["septem_sds_resources_pushed"] == 0
        else:
            assert done.done, done
            assert counted["septem_sds_peers_refused"] == 0
    finally:
        await asyncio.to_thread(envoy.stop)
        service.drain()
        await guard.stop()
        await server.stop(1)
        guard.close()
    assert left_in(folder) == ["envoy.json"], "the sockets are gone"


def left_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def find_sources(value: object) -> Iterator[dict[str, object]]:
    """Every ``sds_config`` within a configuration."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "sds_config":
                yield inner
            yield from find_sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from find_sources(inner)
