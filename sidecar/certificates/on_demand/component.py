"""Certificates on demand: registry, issuance limits, SDS streams and metrics joined."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.domains import RegistryFault
from sidecar.certificates.on_demand.limited_issuers import LimitedIssuers
from sidecar.certificates.on_demand.metrics import OnDemandMetrics
from sidecar.certificates.on_demand.on_demand import OnDemand
from sidecar.certificates.on_demand.panel import NamesView, names_panel
from sidecar.certificates.on_demand.registry_factory import PublishedOwners, Registry, make_registry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.polling import PollStatus
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.observability.metrics import gauge
from sidecar.observability.panel import Ask, Panel
from sidecar.vault.client import VaultClient

TICK_SECONDS = 1.0
_log = logging.getLogger("sidecar.certificates.on_demand")


class PreparedOnDemand(NamedTuple):
    """What a reload serves on demand by."""

    config: model.Config
    settings: model.OnDemandSettings
    registry: Registry
    published: PublishedOwners
    issuers: Issuers


class Served(Protocol):
    """Serves the names to Envoy and evicts them; ``sds.service`` implements it."""

    def evict(self, name: str) -> None:
        """Evict one name from every Envoy that has it."""

    def evict_overdue(self) -> int:
        """Evict the names whose TTL is over; return how many there were."""

    async def evict_withdrawn(self) -> None:
        """Evict the names that are no longer registered."""


class OnDemandComponent:
    """The parts that serve names on demand, and their tasks."""

    def __init__(
        self,
        config: model.Config,
        settings: model.OnDemandSettings,
        vault: VaultClient,
        certificates: Certificates,
        publish: Callable[[RegisteredDomains], None],
    ) -> None:
        """``publish`` hands the owners of the domains to the Checks."""
        self._vault = vault
        self._manager = certificates.manager
        self._publish = publish
        self._settings = settings
        self._limited = LimitedIssuers()
        self._tasks = KeyedTasks()
        configured = frozenset(each.name for each in config.certificates)
        self._metrics = OnDemandMetrics(monotonic_seconds)
        self._published = PublishedOwners(publish, in_force=True)
        self.registry = self._make_registry(settings, self._published)
        self.source = OnDemand(
            settings,
            registry=self.registry,
            issuers=self._limited.limit(certificates.issuers, settings),
            manager=certificates.manager,
            store=certificates.store,
            configured=configured,
            events=self._metrics.events(),
            clock=monotonic_seconds,
            jitter=random.random,
            is_vault_healthy=lambda: vault.is_healthy,
        )
        self._served: Served | None = None
        self._sweeping = PollStatus("on_demand", "names on demand", _log, kept="no name is evicted")

    async def load(self) -> None:
        """Read the registry as far as the start needs it. Raises ``Fault``."""
        await self.registry.start()

    def start(self, context: AppContext, served: Served) -> None:
        """Start the tasks; ``served`` evicts the names that Envoy must not hold any longer."""
        self.source.on_forget(served.evict)
        self._served = served
        context.watch(self._sweeping)
        context.watch(self.registry.status)
        context.refreshers.append(self._refresh)
        context.refreshed.append(self.registry.status)
        context.metrics.add_source(self.families)
        context.stack.push_async_callback(self.source.close)
        context.panels["on-demand"] = self._panel
        context.spawn(self.run())

    def _panel(self, ask: Ask) -> Awaitable[Panel]:
        source = self.source
        view = NamesView(
            source.entries(), self._manager, self.registry.status, self._metrics.refusals,
            source.open_orders, monotonic_seconds(),
        )  # fmt: skip
        return names_panel(view, ask)

    async def run(self) -> None:
        """Follow the registry and evict names whose TTL is over, until cancelled."""
        self._run_tasks()
        await self._tasks.run()

    async def prepare(self, config: model.Config, issuers: Issuers) -> PreparedOnDemand:
        """Read another registry for a reload; nothing changes meanwhile. Raises ``Fault``.

        A registry of the same settings goes on with all its answers.
        """
        settings = config.on_demand
        if settings is None:
            raise RegistryFault("on_demand can't be ended by a reload")
        registry, published = self.registry, self._published
        if settings.registry != self._settings.registry:
            published = PublishedOwners(self._publish, in_force=False)
            registry = self._make_registry(settings, published)
            await registry.start()
        return PreparedOnDemand(config, settings, registry, published, issuers)

    def adopt(self, context: AppContext, prepared: PreparedOnDemand) -> None:
        """Serve on demand by what was prepared, before configured certificates are exchanged."""
        _, settings, registry, published, issuers = prepared
        before, self._settings = self.registry, settings
        if registry is not before:
            self._adopt_registry(context, registry, published)
        configured = frozenset(each.name for each in prepared.config.certificates)
        limited = self._limited.limit(issuers, settings)
        self.source.use(settings, registry, limited, configured)
        context.run_soon(self._registry_changed())

    def _adopt_registry(
        self, context: AppContext, registry: Registry, published: PublishedOwners
    ) -> None:
        context.unwatch(self.registry.status)
        context.refreshed.remove(self.registry.status)
        self._published.retire()
        if isinstance(registry, ResolvedRegistry):
            registry.take_over(self._published.owners, self.source.names)
            published.owners = self._published.owners
        self.registry, self._published = registry, published
        context.watch(registry.status)
        context.refreshed.append(registry.status)
        published.put_in_force()
        self._run_tasks()

    def _make_registry(
        self, settings: model.OnDemandSettings, published: PublishedOwners
    ) -> Registry:
        return make_registry(settings.registry, self._vault, self._registry_changed, published)

    def _run_tasks(self) -> None:
        self._tasks.use({self.registry: self.registry.run, "tick": self._tick})

    async def _refresh(self) -> None:
        await self.registry.refresh()

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._metrics.families(self.source)
        yield gauge(
            "septem_domain_registry_entries", "Domains known, or answers held", len(self.registry)
        )
        reads = CounterMetricFamily(
            "septem_domain_registry_reads", "Questions to the domain registry", labels=["outcome"]
        )
        for outcome, count in self.registry.outcomes.items():
            reads.add_metric([outcome], count)
        yield reads

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            with self._sweeping.poll():
                self._sweep()

    def _sweep(self) -> None:
        self.source.sweep()
        if self._served is not None:
            self._metrics.evicted(self._served.evict_overdue())

    async def _registry_changed(self) -> None:
        await self.source.forget_withdrawn()
        if self._served is not None:
            await self._served.evict_withdrawn()


def make_component(
    config: model.Config,
    vault: VaultClient,
    certificates: Certificates,
    publish: Callable[[RegisteredDomains], None],
) -> OnDemandComponent | None:
    """Return the component; ``None`` if nothing is served on demand."""
    if config.on_demand is None:
        return None
    return OnDemandComponent(config, config.on_demand, vault, certificates, publish)
