"""Polls the publishers of modules, and publishes them to the Checks."""

import random
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client.core import Metric

from sidecar.common.clock import monotonic_seconds
from sidecar.common.current_task import CurrentTask
from sidecar.config import model
from sidecar.context import AppContext, PreparedPart
from sidecar.module_signing.metrics import publisher_families
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.vault.ports import KvReader


class PublisherPoller:
    """The refresher of the entry that the settings name, which a reload may exchange."""

    def __init__(
        self,
        context: AppContext,
        modules: model.Modules,
        vault: KvReader,
        publish: Callable[[Publishers], None],
    ) -> None:
        self._context = context
        self._vault = vault
        self._publish = publish
        self.refresher = self._make(context.config, modules)
        self._task = CurrentTask(self.refresher.run)
        context.metrics.add_source(self._families)
        context.watch(self.refresher.status)

    async def run(self) -> None:
        """Poll until cancelled."""
        await self._task.run()

    async def refresh(self) -> None:
        """Read the entry now; what can't be read changes nothing."""
        await self.refresher.refresh()

    async def prepare(self, config: model.Config) -> PublisherRefresher:
        """Return the refresher for other settings, with its entry read. Raises ``Fault``."""
        before, modules = self._context.config.modules, config.modules
        if before is None or modules is None:
            return self.refresher
        if (before.mount, before.path) == (modules.mount, modules.path):
            return self.refresher
        refresher = self._make(config, modules)
        await refresher.load()
        return refresher

    def adopt(self, refresher: PublisherRefresher, config: model.Config) -> None:
        """Poll by what was prepared, and publish what it has read."""
        before, self.refresher = self.refresher, refresher
        refresher.set_times(config.keys.poll_seconds, config.keys.max_age_seconds)
        if refresher is not before:
            self._task.replace(refresher.run)
            self._context.unwatch(before.status)
            self._context.watch(refresher.status)
            self._context.refreshed.remove(before.status)
            self._context.refreshed.append(refresher.status)
            self._publish(refresher.publishers)

    def _make(self, config: model.Config, modules: model.Modules) -> PublisherRefresher:
        def publish(publishers: Publishers) -> None:
            if refresher is self.refresher:  # and not one that is read for a reload
                self._publish(publishers)

        refresher = PublisherRefresher(
            modules,
            self._vault,
            poll_seconds=config.keys.poll_seconds,
            max_age_seconds=config.keys.max_age_seconds,
            clock=monotonic_seconds,
            jitter=random.random,
            publish=publish,
        )
        return refresher

    def _families(self) -> Iterator[Metric]:
        yield from publisher_families(self.refresher, monotonic_seconds)


async def start(
    context: AppContext, vault: KvReader, publish: Callable[[Publishers], None]
) -> PublisherPoller | None:
    """Read and poll the publishers of modules, if the configuration has modules."""
    modules = context.config.modules
    if modules is None:
        return None
    poller = PublisherPoller(context, modules, vault, publish)
    with context.waits.on(poller.refresher.status.name):
        await poller.refresher.load()
    context.spawn(poller.run())
    context.refreshers.append(poller.refresh)
    context.refreshed.append(poller.refresher.status)

    async def prepare(config: model.Config) -> PreparedPart:
        return PreparedPart(partial(poller.adopt, await poller.prepare(config), config))

    context.reload_parts.append(prepare)
    return poller
