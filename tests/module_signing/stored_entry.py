"""The publishers' entry in Vault, for tests that need no server; and a poller of any."""

from collections.abc import Callable, Mapping
from typing import Any

from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.vault.answers import KvSecret
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.ports import KvReader


class PublisherEntry:
    """An entry whose versions count up; ``None`` where there is none."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.version = 0

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        if self.data is None:
            raise VaultNotFound(f"{mount}/{path}")
        self.version += 1
        return KvSecret(self.data, self.version)


def make_refresher(
    vault: KvReader,
    publish: Callable[[Publishers], None] = lambda _publishers: None,
    *,
    poll_seconds: float = 1,
    clock: Callable[[], float] = monotonic_seconds,
) -> PublisherRefresher:
    """Return a poller of the default entry, whose publishers are good for an hour."""
    return PublisherRefresher(
        model.Modules(),
        vault,
        poll_seconds=poll_seconds,
        max_age_seconds=3600,
        clock=clock,
        jitter=lambda: 0.0,
        publish=publish,
    )
