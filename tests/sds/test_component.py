"""What the start of SDS joins: certificates, names on demand, challenges, and the listener."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

from demo.process import free_ports
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.sds import component
from sidecar.sds.purposes import ACME_PURPOSE, PURPOSE_HEADER
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import SDS_SERVICE
from sidecar.transport.listener_bounds import SDS
from sidecar.vault.client import VaultClient
from tests.config.test_certificates import ACME, PKI, STORE, text


class Running:
    """A context in which SDS was started, and what it handed to the Check."""

    def __init__(self, address: str, issuers: str, more: str, uids: tuple[int, ...]) -> None:
        config = parse_config(text(issuers, more=more), "test.yaml")
        self.context = AppContext(config)
        self.context.bounds = {SDS: 16}
        self.settings = model.SdsListen(address=address, peer_uids=uids)
        self.solvers: list[DistributedSolver] = []
        self.published: list[RegisteredDomains] = []

    async def start(self) -> None:
        vault = VaultClient(self.context.config.vault, clock=monotonic_seconds)
        obtain = await component.start(
            self.context,
            self.settings,
            vault,
            Alerts(wall_seconds, with_webhook=False),
            answer_challenges=self.solvers.append,
            publish_domains=self.published.append,
        )
        await obtain()

    async def refused(self, name: str, *metadata: tuple[str, str]) -> list[str]:
        """Ask for a name; return the names that are not served."""
        async with grpc.aio.insecure_channel(self.settings.address) as channel:
            call = channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")(metadata=metadata)
            asked = DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, resource_names_subscribe=[name])
            await call.write(bytes(asked))
            answer = DeltaDiscoveryResponse.parse(await call.read())
            call.cancel()
            return list(answer.removed_resources)


Start = Any


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def make(
            issuers: str = PKI, more: str = "", address: str = "", uids: tuple[int, ...] = ()
        ) -> Running:
            made = Running(address or f"127.0.0.1:{free_ports(1)[0]}", issuers, more, uids)
            stack.push_async_callback(made.context.stack.aclose)
            await made.start()
            return made

        yield make


async def test_what_is_not_configured_is_refused_and_the_operator_sees_the_certificates(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    running: Running = await start()
    assert await running.refused("edge") == ["edge"]
    assert ("GET", "/certificates") in running.context.routes
    shown = running.context.metrics.render().decode()
    for family in ("septem_sds_streams", "septem_certificates", "septem_secret_state"):
        assert f"# TYPE {family}" in shown
    assert "septem_on_demand_names" not in shown
    assert (running.solvers, running.published) == ([], [])
    assert "any process of this machine may fetch secrets from 127.0.0.1" in caplog.text


async def test_owners_of_domains_go_to_the_check(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "domains.json"
    path.write_text(json.dumps([{"domain": "shop.example", "tenant_id": "a"}]))
    registry = f"{{source: file, path: {path}}}"
    running: Running = await start(more=f"on_demand: {{issuer: internal, registry: {registry}}}\n")
    assert running.published[-1].owner_of("shop.example") == "a"
    assert running.context.owner_of("www.shop.example") == "a"
    assert "septem_on_demand_names" in running.context.metrics.render().decode()
    assert await running.refused("unknown.example") == ["unknown.example"]
    assert "domains" in running.context.health.facts


async def test_an_acme_issuer_has_its_challenges_answered_and_served_apart(start: Start) -> None:
    running: Running = await start(ACME + "}", STORE)
    assert len(running.solvers) == 1
    # At a Vault that nobody runs here the fleet's list can't be read: the name has no challenge.
    assert await running.refused("a.example", (PURPOSE_HEADER, ACME_PURPOSE)) == ["a.example"]
    assert running.context.health.facts["challenges"].startswith("outage: ")


STRANGER = 4_000_000


async def test_a_unix_socket_stands_behind_a_guard(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "sds.sock"
    running: Running = await start(address=f"unix:{path}")
    assert "any process of this machine" not in caplog.text
    assert await running.refused("edge") == ["edge"], "the sidecar's own user is let in"
    await running.context.stack.aclose()
    assert not path.exists()


async def test_another_user_is_not_let_in_and_is_counted(start: Start, tmp_path: Path) -> None:
    running: Running = await start(address=f"unix:{tmp_path / 'sds.sock'}", uids=(STRANGER,))
    with pytest.raises(grpc.aio.AioRpcError):
        await running.refused("edge")
    assert "septem_sds_peers_refused_total 0" not in running.context.metrics.render().decode()
