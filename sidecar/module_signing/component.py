"""The publishers of modules, kept fresh for whoever answers Checks."""

import random
from collections.abc import Callable
from functools import partial

from sidecar.common.clock import monotonic_seconds
from sidecar.context import Lifespan
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.observability.collectors import publisher_families
from sidecar.vault.client import VaultClient


async def start_publishers(
    life: Lifespan, vault: VaultClient, publish: Callable[[Publishers], None]
) -> None:
    """Read who may publish modules, and keep that fresh, where there are modules at all."""
    config = life.config
    if config.modules is None:
        return
    refresher = PublisherRefresher(
        config.modules,
        vault,
        poll_seconds=config.keys.poll_seconds,
        max_age_seconds=config.keys.max_age_seconds,
        clock=monotonic_seconds,
        jitter=random.random,
        publish=publish,
    )
    life.metrics.add_source(partial(publisher_families, refresher, monotonic_seconds))
    life.watch(refresher.status)
    await refresher.load()
    life.spawn(refresher.run())
