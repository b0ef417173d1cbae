"""Modules joined in: the desk where bundles are judged, and the publishers kept fresh."""

import random
from collections.abc import Callable

from sidecar.clock import monotonic_seconds
from sidecar.config import model
from sidecar.keys.sources import VaultReader
from sidecar.modules.desk import BundleDesk
from sidecar.modules.publishers import Publishers
from sidecar.modules.refresher import PublisherRefresher


def make_desk(settings: model.Modules | None) -> BundleDesk | None:
    """Build the desk, where there are modules at all."""
    return None if settings is None else BundleDesk(settings.max_waiting)


def make_publisher_refresher(
    config: model.Config, vault: VaultReader, publish: Callable[[Publishers], None]
) -> PublisherRefresher | None:
    """Build the loop that reads who may publish modules, where there are modules at all."""
    if config.modules is None:
        return None
    return PublisherRefresher(
        config.modules,
        vault,
        poll_seconds=config.keys.poll_seconds,
        max_age_seconds=config.keys.max_age_seconds,
        clock=monotonic_seconds,
        jitter=random.random,
        publish=publish,
    )
