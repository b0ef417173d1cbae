"""Polls the entry of the publishers in Vault, and publishes its content.

While Vault is unavailable the last content stays in force: new publishers and withdrawals
can't arrive then, and the log and a metric say so. A withdrawn bundle is denied from the next
read on.
"""

import logging
from collections.abc import Callable

from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.config import model
from sidecar.keys.lifecycle import Lifecycle
from sidecar.module_signing.publisher_entry import PublisherFault, read_publishers
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.newest import NewestVersion
from sidecar.vault.ports import KvReader

_log = logging.getLogger("sidecar.module_signing")


class PublisherRefresher:
    """The entry, its content, and the loop that reads it."""

    def __init__(
        self,
        settings: model.Modules,
        vault: KvReader,
        *,
        poll_seconds: float,
        max_age_seconds: float,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        publish: Callable[[Publishers], None],
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._clock = clock
        self._poll_seconds = poll_seconds
        pace = PollPace(lambda: self._poll_seconds, jitter)
        self._loop = PollLoop(self._read, lambda: pace.pause_seconds(self.status))
        self._publish = publish
        self.name = f"Vault entry {settings.mount}/{settings.path}"
        self.lifecycle = Lifecycle(max_age_seconds)
        self.status = PollStatus(
            "publishers",
            f"the publishers in {self.name}",
            _log,
            kept="the publishers read before stay in force",
        )
        self.publishers = NO_PUBLISHERS
        self._newest = NewestVersion()

    async def load(self) -> None:
        """Read the entry for the first time. Raises ``Fault``."""
        try:
            self._take(await self._fetch())
        except Exception as exc:  # noqa: BLE001 - at the start, one message for any cause
            raise self.status.failed(exc) from None
        self.status.succeeded()

    def set_times(self, poll_seconds: float, max_age_seconds: float) -> None:
        """Poll at another interval, and age by another limit, from now on."""
        if poll_seconds != self._poll_seconds:
            self._loop.refresh_soon()
        self._poll_seconds = poll_seconds
        self.lifecycle.max_age_seconds = max_age_seconds

    @property
    def outcomes(self) -> dict[str, int]:
        """Return the number of reads by outcome."""
        return self.status.outcomes

    async def run(self) -> None:
        """Read until cancelled."""
        await self._loop.run()

    async def refresh(self) -> None:
        """Read the entry now; what can't be read changes nothing."""
        await self._loop.refresh()

    async def _read(self) -> None:
        with self.status.poll():
            self._take(await self._fetch())
        if self.status.problem:
            self.lifecycle.failed(self._clock())

    async def _fetch(self) -> Publishers:
        try:
            secret = await self._vault.read_kv(self._settings.mount, self._settings.path)
        except VaultNotFound:
            return NO_PUBLISHERS  # nobody has registered: every signature is denied
        self._newest.take(self.name, secret.version, secret.written_at)
        try:
            return read_publishers(secret.data)
        except PublisherFault as fault:
            raise PublisherFault(f"{self.name} {fault}") from None

    def _take(self, publishers: Publishers) -> None:
        for problem in publishers.problems:
            if problem not in self.publishers.problems:
                _log.error("%s: %s", self.name, problem)
        # What Checks remember goes with every snapshot, so none is made for nothing.
        if not publishers.same_as(self.publishers):
            self._publish(publishers)
        # Held once they are published: where that fails, the next read does it.
        self.publishers = publishers
        self.lifecycle.refreshed(self._clock())
