"""The SDS listener, and the certificates and secrets that it serves to Envoy."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.managed.admin_routes import certificate_actions, certificate_routes
from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.component import OnDemandComponent, make_component
from sidecar.common.clock import wall_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model
from sidecar.config.on_demand import OnDemandSettings
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.sds.acme_streams import challenge_handler
from sidecar.sds.listener import open_listener
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.reloading import CertificatesReload, eviction_policy
from sidecar.sds.secrets.component import PolledSecrets
from sidecar.sds.service import SdsEvents, SdsService
from sidecar.transport.remote_peers import ListenerTls, RemotePeers
from sidecar.transport.tls_guard import TlsGuard
from sidecar.vault.client import VaultClient

_log = logging.getLogger("sidecar.sds")


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

    domains = vault.with_lanes("vault-domains")
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
    certificates.believe(partial(_roots_of, polled))
    context.identities.served_by(certificates.store.get, polled.trusted)
    context.metrics.add_source(metrics.families)
    context.metrics.add_source(certificates.families)
    admin = certificates.admin()
    context.routes.update(certificate_routes(admin))
    context.panels |= {"envoys": metrics.panel, "certificates": certificates.panel}
    context.actions |= certificate_actions(admin)
    obtain: Callable[[], Awaitable[None]] = partial(_obtain, context, certificates)
    if obtain_first:
        await obtain()
        obtain = _nothing_left
    remote = _remote_peers(settings, certificates, polled)
    guard = await open_listener(context, settings, handlers, metrics, remote)
    if guard is not None and settings.mtls is not None:
        sds.secrets.watch(partial(_note_trust, guard, settings.mtls.trust_bundle))
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


def _roots_of(polled: PolledSecrets, bundle: str) -> bytes | None:
    anchors = polled.trusted(bundle).anchors
    return None if anchors is None else anchors.roots_pem


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


def _remote_peers(
    settings: model.SdsListen, certificates: Certificates, polled: PolledSecrets
) -> RemotePeers | None:
    """Return who may fetch secrets over the network, where ``listen.sds.mtls`` says so."""
    mtls = settings.mtls
    if mtls is None:
        return None
    return RemotePeers(
        partial(polled.trusted, mtls.trust_bundle),
        partial(certificates.store.get, mtls.certificate),
        wall_seconds,
        ListenerTls(("h2",)),
    )


def _note_trust(guard: TlsGuard, bundle: str, changed: str) -> None:
    if changed == bundle:
        guard.trust_changed()
