"""Certificates on demand: registry, issuance limits, SDS streams and metrics joined."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.http_resolver import HttpResolver
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateLimiter, RateLimitedIssuer
from sidecar.certificates.on_demand.kv_prefix_resolver import KvPrefixResolver
from sidecar.certificates.on_demand.metrics import OnDemandMetrics
from sidecar.certificates.on_demand.on_demand import OnDemand
from sidecar.certificates.on_demand.registries import FileSource, KvSource, ListedRegistry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds
from sidecar.common.polling import PollStatus
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.common.token_bucket import TokenBucket
from sidecar.config import model
from sidecar.config import on_demand as settings_of
from sidecar.context import AppContext
from sidecar.observability.metrics import gauge
from sidecar.vault.client import VaultClient

TICK_SECONDS = 1.0
KV_NAMES_A_SECOND = 50.0
"""Entries of domains that clients hold, read again when their TTL is over."""
_log = logging.getLogger("sidecar.certificates.on_demand")


def make_rate_limiter(settings: model.OnDemandSettings) -> IssuanceRateLimiter:
    """Return the rate limiter of one issuer."""
    return IssuanceRateLimiter(
        orders_per_minute=settings.orders_per_minute,
        burst=settings.orders_burst,
        orders_per_domain=settings.orders_per_domain,
        domain_window_seconds=settings.domain_window_seconds,
        clock=monotonic_seconds,
    )


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
        self.configured = frozenset(each.name for each in config.certificates)
        self._store = certificates.store
        self._metrics = OnDemandMetrics(monotonic_seconds)
        self.registry = make_registry(settings.registry, vault, self._registry_changed, publish)
        self.source = OnDemand(
            settings,
            registry=self.registry,
            issuers=_rate_limited(certificates.issuers, settings),
            manager=certificates.manager,
            store=self._store,
            configured=self.configured,
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
        context.refreshers.append(self.registry.refresh)
        context.refreshed.append(self.registry.status)
        context.metrics.add_source(self.families)
        context.stack.push_async_callback(self.source.close)
        context.spawn(self.run())

    async def run(self) -> None:
        """Follow the registry and evict names whose TTL is over, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.registry.run())
            tasks.create_task(self._tick())

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


def _rate_limited(issuers: Issuers, settings: model.OnDemandSettings) -> Issuers:
    """Limit the rate of every issuer for itself, except Vault KV's, who only read.

    So names whose CA hangs, and that are tried again and again, use up no other CA's rate.
    """
    return Issuers(
        {
            each.name: each
            if isinstance(each, KvIssuer)
            else RateLimitedIssuer(each, make_rate_limiter(settings))
            for each in issuers
        }
    )


def make_registry(
    settings: settings_of.RegistrySettings,
    vault: VaultClient,
    on_change: Callable[[], Awaitable[None]],
    publish: Callable[[RegisteredDomains], None],
) -> ListedRegistry | ResolvedRegistry:
    """Return the registry that the configuration names."""
    match settings:
        case settings_of.FileRegistry(poll_seconds=poll_seconds):
            source: FileSource | KvSource = FileSource(settings)
        case settings_of.VaultKvRegistry(poll_seconds=poll_seconds):
            source = KvSource(settings, vault)
        case settings_of.VaultKvPrefixRegistry(entry_ttl_seconds=ttl):
            prefix = KvPrefixResolver(settings, vault, sleep=asyncio.sleep)
            registry = ResolvedRegistry(
                prefix,
                positive_ttl_seconds=ttl,
                negative_ttl_seconds=ttl,
                clock=monotonic_seconds,
                names_a_second=KV_NAMES_A_SECOND,
                publish=publish,
            )

            async def changed() -> None:
                registry.drop_unlisted()
                await on_change()

            prefix.on_change = changed
            return registry
        case settings_of.HttpRegistry(queries_per_second=rate):
            bucket = TokenBucket(rate, max(1.0, 2 * rate), monotonic_seconds())
            return ResolvedRegistry(
                HttpResolver(settings, lambda: bucket.take(monotonic_seconds())),
                positive_ttl_seconds=settings.positive_ttl_seconds,
                negative_ttl_seconds=settings.negative_ttl_seconds,
                clock=monotonic_seconds,
                names_a_second=rate / 2,  # the other half is for new names
                publish=publish,
            )
    return ListedRegistry(
        source, poll_seconds, sleep=asyncio.sleep, on_change=on_change, publish=publish
    )
