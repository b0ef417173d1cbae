"""Polls the publishers of modules, and publishes them to the Checks."""

import random
from collections.abc import Callable
from functools import partial

from sidecar.common.clock import monotonic_seconds
from sidecar.context import AppContext
from sidecar.module_signing.metrics import publisher_families
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.vault.ports import KvReader


async def start(
    context: AppContext, vault: KvReader, publish: Callable[[Publishers], None]
) -> None:
    """Read and poll the publishers of modules, if the configuration has modules."""
    config = context.config
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
    context.metrics.add_source(partial(publisher_families, refresher, monotonic_seconds))
    context.watch(refresher.status)
    with context.waits.on(refresher.status.name):
        await refresher.load()
    context.spawn(refresher.run())
