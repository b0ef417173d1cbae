"""An edge that a CA can look at: real Envoy with edge.yaml, and the Check behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.application import SampleApplication
from demo.envoyproxy import EdgePorts, Envoy, edge_config
from demo.process import free_ports
from sidecar.authz.ports import Outcome
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.challenges.tls_alpn01 import ChallengeCertificates
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.config.load import parse_config
from sidecar.sds.purposes import ACME_PURPOSE, PurposeHandler
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.transport.aio import GrpcServer
from sidecar.transport.h2 import H2Server
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD
from tests.support.ids import one_id

CONFIG = """
vault: {address: "http://127.0.0.1:1", auth: {method: token_file, path: /nowhere}}
tokens: {issuers: [{issuer: i, audiences: [a]}]}
routes: [{name: all, path_prefix: /, auth: none}]
"""


class Observer:
    """Notes what went the long way; challenges go no other."""

    def __init__(self, decided: Callable[[Outcome], None]) -> None:
        self.decided = decided

    def allowed_fast(self, _passage: object) -> None:
        """Forget what went the short way."""


@dataclass
class AcmeEdge:
    """A running edge. Its certificates are what ``store`` holds."""

    ports: EdgePorts
    store: CertificateStore
    service: CheckService
    outcomes: list[Outcome]
    envoy: Envoy
    nacks: list[str]


@asynccontextmanager
async def running_edge(
    folder: Path,
    solver: DistributedSolver | None,
    change: Callable[[Any], None] = lambda _config: None,
    store: CertificateStore | None = None,
    challenges: ChallengeCertificates | None = None,
) -> AsyncIterator[AcmeEdge]:
    """Start an edge whose Check answers what ``solver`` knows."""
    outcomes: list[Outcome] = []
    service = CheckService(
        build_snapshot(parse_config(CONFIG, "test"), EMPTY_RING),
        now=wall_seconds, elapsed_ns=elapsed_ns, new_id=one_id,
        observer=Observer(outcomes.append), on_fault=outcomes.append,  # type: ignore[arg-type]
    )  # fmt: skip
    service.challenges = solver
    store = store or CertificateStore(wall_seconds)
    nacks: list[str] = []
    events = SdsEvents(lambda _: None, lambda _: None, lambda _, words: nacks.append(words))
    secrets = SdsService(store, events)
    handlers = list(secrets.handlers())
    if challenges is not None:
        for_cas = SdsService(CertificateStore(wall_seconds), events, on_demand=challenges)
        handlers.insert(0, PurposeHandler(ACME_PURPOSE, for_cas.handlers()))
    application = SampleApplication()
    http, https, admin, authz, sds = free_ports(5)
    ports = EdgePorts(http, https, admin, application.port, authz, sds)
    checks = H2Server(
        f"127.0.0.1:{authz}", {CHECK_METHOD: service.handle},
        limits=Limits(), clock=monotonic_seconds, on_fault=lambda exc: nacks.append(repr(exc)),
    )  # fmt: skip
    server = GrpcServer(f"127.0.0.1:{sds}", SDS_SERVICE, handlers, max_message_bytes=4_194_304)
    config = edge_config(ports)
    for common in _tls_contexts(config):
        for each in common.get("tls_certificate_sds_secret_configs", ()):
            # a plain listener is there at once, certificate or not
            each["sds_config"]["initial_fetch_timeout"] = "0.3s"
    for each in _ext_authz(config):
        each["grpc_service"]["timeout"] = "10s"  # Check and clients share one busy event loop here
    change(config)
    reader = asyncio.create_task(solver.run()) if solver is not None else None
    await checks.start()
    await server.start()
    envoy = await asyncio.to_thread(Envoy, config, folder)
    try:
        yield AcmeEdge(ports, store, service, outcomes, envoy, nacks)
    finally:
        await asyncio.to_thread(envoy.stop)
        application.stop()
        secrets.drain()
        await server.stop(1)
        await checks.stop(1)
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def _ext_authz(config: Any) -> list[Any]:
    managers = [
        each["typed_config"]
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for each in chain["filters"]
    ]
    filters = [each for manager in managers for each in manager["http_filters"]]
    return [e["typed_config"] for e in filters if e["name"] == "envoy.filters.http.ext_authz"]


def _tls_contexts(config: Any) -> list[Any]:
    chains = [
        chain
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        if "transport_socket" in chain
    ]
    return [c["transport_socket"]["typed_config"]["common_tls_context"] for c in chains]
