"""The registry that the settings name, and when the owners it finds are published."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from sidecar.certificates.on_demand.http_resolver import HttpResolver
from sidecar.certificates.on_demand.kv_prefix_resolver import KvPrefixResolver
from sidecar.certificates.on_demand.registries import FileSource, KvSource, ListedRegistry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.common.token_bucket import TokenBucket
from sidecar.config import on_demand as settings_of
from sidecar.vault.client import VaultClient

KV_NAMES_A_SECOND = 50.0
"""Entries of domains that clients hold, read again when their TTL is over."""

Registry = ListedRegistry | ResolvedRegistry


class PublishedOwners:
    """The owners of the domains of one registry; nobody hears of them before it is in force."""

    def __init__(self, publish: Callable[[RegisteredDomains], None], *, in_force: bool) -> None:
        self._publish = publish
        self._in_force = in_force
        self.owners = NO_DOMAINS

    def __call__(self, owners: RegisteredDomains) -> None:
        """Publish owners, now or once the registry is in force."""
        self.owners = owners
        if self._in_force:
            self._publish(owners)

    def put_in_force(self) -> None:
        """Publish what was found, and from now on whatever is."""
        self._in_force = True
        self._publish(self.owners)

    def retire(self) -> None:
        """Publish nothing any more: another registry is in force."""
        self._in_force = False


def make_registry(
    settings: settings_of.RegistrySettings,
    vault: VaultClient,
    on_change: Callable[[], Awaitable[None]],
    publish: Callable[[RegisteredDomains], None],
) -> Registry:
    """Return the registry that the configuration names."""
    match settings:
        case settings_of.FileRegistry(poll_seconds=poll_seconds):
            source: FileSource | KvSource = FileSource(settings)
        case settings_of.VaultKvRegistry(poll_seconds=poll_seconds):
            source = KvSource(settings, vault)
        case settings_of.VaultKvPrefixRegistry(entry_ttl_seconds=ttl):
            prefix = KvPrefixResolver(settings, vault, sleep=asyncio.sleep, jitter=random.random)
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
        source,
        poll_seconds,
        sleep=asyncio.sleep,
        jitter=random.random,
        on_change=on_change,
        publish=publish,
    )
