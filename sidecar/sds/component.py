"""The SDS listener, and the certificates and secrets that it serves to Envoy."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import grpc

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.managed.admin_routes import certificate_routes
from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.component import OnDemandComponent, make_component
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model
from sidecar.config.on_demand import OnDemandSettings
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.sds.acme_streams import challenge_handler
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.reloading import CertificatesReload, eviction_policy
from sidecar.sds.secrets.component import PolledSecrets
from sidecar.sds.service import SDS_SERVICE, SdsEvents, SdsService
from sidecar.transport.aio import GrpcServer
from sidecar.transport.guard import make_guard
from sidecar.transport.listener_bounds import SDS
from sidecar.vault.client import VaultClient

_log = logging.getLogger("sidecar.sds")
_MAX_MESSAGE_BYTES = 4_194_304


async def start(
    context: AppContext,
    settings: model.SdsListen,
    vault: VaultClient,
    alerts: Alerts,
    *,
    answer_challenges: Callable[[DistributedSolver], None],
    publish_domains: Callable[[RegisteredDomains], None],
    obtain_first: bool = False,
) -> Callable[[], Awaitable[None]]:
    """Serve secrets; return what obtains every certificate, and from then on renews them.

    A certificate is served as soon as it is there; with ``obtain_first`` none before all are.
    ``publish_domains`` is called with the owners
    of the domains that are served on demand, ``answer_challenges`` with the solver of ACME
    challenges, for the Check.
    """
    certificates = Certificates(
        context.config, vault.with_own_threads("vault-certificates"), alerts
    )
    context.stack.callback(certificates.close)

    def publish(registered: RegisteredDomains) -> None:
        context.registered = registered
        publish_domains(registered)

    domains = vault.with_own_threads("vault-domains")
    component = make_component(context.config, domains, certificates, publish)
    certificates.on_polls = context.exchange_watched
    context.exchange_watched((), certificates.polls())
    # Owners of domains decide Checks, and come before these.
    loads = [certificates.load()]
    if component is not None:
        loads.append(_load_registry(context, component))
    await asyncio.gather(*loads)
    metrics = SdsMetrics()
    challenges, serve_challenges = challenge_handler(context, metrics)

    def use_solver(solver: DistributedSolver) -> None:
        answer_challenges(solver)
        serve_challenges(solver)

    if certificates.solver is not None:
        use_solver(certificates.solver)
    certificates.on_solver = use_solver
    events = SdsEvents(metrics.streams, metrics.push, metrics.nack)
    sds = SdsService(certificates.store, events)
    if component is not None and context.config.on_demand is not None:
        sds = _serve_on_demand(component, context.config.on_demand, certificates, events)
        component.start(context, sds)
    context.reload_parts.append(CertificatesReload(context, certificates, component, sds).prepare)
    handlers = [challenges, *sds.handlers()]
    polled = PolledSecrets(
        context.config,
        vault.with_own_threads("vault-secrets"),
        sds.secrets.put,
        alerts,
        remove=sds.secrets.remove,
    )
    await polled.start(context)
    context.metrics.add_source(metrics.families)
    context.metrics.add_source(certificates.families)
    context.routes.update(certificate_routes(certificates.admin()))
    obtain: Callable[[], Awaitable[None]] = partial(_obtain, context, certificates)
    if obtain_first:
        await obtain()
        obtain = _nothing_left
    await _listen(context, settings, handlers, metrics)
    context.stack.callback(sds.drain)
    context.spawn(polled.poller.run())
    context.spawn(certificates.run())
    return obtain


async def _nothing_left() -> None:
    """Every certificate is there."""


async def _obtain(context: AppContext, certificates: Certificates) -> None:
    """Obtain every certificate, and say what the start waits for. Raises ``CertificateFault``."""

    def waits(names: str) -> None:
        problem = f"the start waits for certificates: {names}; Checks are answered meanwhile"
        _log.warning("%s", problem)
        context.health.set_unhealthy("certificates", problem)

    await certificates.obtain(waits)
    context.health.set_healthy("certificates")
    context.spawn(certificates.manager.keep_fresh())


async def _load_registry(context: AppContext, component: OnDemandComponent) -> None:
    with context.waits.on(component.registry.status.name):
        await component.load()


def _serve_on_demand(
    component: OnDemandComponent,
    settings: OnDemandSettings,
    certificates: Certificates,
    events: SdsEvents,
) -> SdsService:
    return SdsService(
        certificates.store,
        events,
        on_demand=component.source,
        configured=certificates.configured,
        eviction=eviction_policy(settings),
    )


async def _listen(
    context: AppContext,
    settings: model.SdsListen,
    handlers: Sequence[grpc.GenericRpcHandler],
    metrics: SdsMetrics,
) -> None:
    """Open the listener; a Unix socket is protected by a guard."""
    most = context.bounds[SDS]
    guard = make_guard(settings, metrics.refuse_peer, most)
    address = settings.address
    if guard is None:
        _log.warning(
            "any process of this machine may fetch secrets from %s; use a Unix socket as "
            "listen.sds.address, where peers are checked",
            address,
        )
    else:
        guard.prepare()
        context.stack.callback(guard.close)
        address = guard.inner_address
    server = GrpcServer(
        address,
        SDS_SERVICE,
        handlers,
        max_message_bytes=_MAX_MESSAGE_BYTES,
        max_connections=most,
    )
    await context.listen(server)
    if guard is not None:
        guard.start()
        context.stack.push_async_callback(guard.stop)
