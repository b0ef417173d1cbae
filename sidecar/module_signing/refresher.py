"""Polls the entry of the publishers in Vault, and publishes its content.

While Vault is unavailable the last content stays in force: new publishers and withdrawals
can't arrive then, and the log and a metric say so. A withdrawn bundle is refused from the next
read on.
"""

import asyncio
import logging
from collections.abc import Callable

from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.keys.kv_source import KvReader
from sidecar.keys.lifecycle import Lifecycle
from sidecar.module_signing.publishers import (
    NO_PUBLISHERS,
    PublisherFault,
    Publishers,
    read_publishers,
)
from sidecar.vault.errors import VaultNotFound

_log = logging.getLogger("sidecar.module_signing")
_JITTER_SHARE = 0.2


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
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._jitter = jitter
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

    async def load(self) -> None:
        """Read the entry for the first time. Raises ``Fault``."""
        try:
            self._take(await self._fetch())
        except Exception as exc:  # noqa: BLE001 - at the start, one message for any cause
            raise self.status.failed(exc) from None
        self.status.succeeded()

    @property
    def outcomes(self) -> dict[str, int]:
        """Return the number of reads by outcome."""
        return self.status.outcomes

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await asyncio.sleep(self._poll_seconds * (1 - _JITTER_SHARE * self._jitter()))
            await self.refresh()

    async def refresh(self) -> None:
        """Read the entry now; a failed read changes nothing."""
        try:
            self._take(await self._fetch())
        except Exception as exc:  # noqa: BLE001 - the edge of a poll: the loop continues
            self.lifecycle.failed(self._clock())
            self.status.failed(exc)
        else:
            self.status.succeeded()

    async def _fetch(self) -> Publishers:
        try:
            secret = await self._vault.read_kv(self._settings.mount, self._settings.path)
        except VaultNotFound:
            return NO_PUBLISHERS  # there are no publishers: every signature is refused
        try:
            return read_publishers(secret.data)
        except PublisherFault as fault:
            raise PublisherFault(f"{self.name} {fault}") from None

    def _take(self, publishers: Publishers) -> None:
        self.lifecycle.refreshed(self._clock())
        for problem in publishers.problems:
            if problem not in self.publishers.problems:
                _log.error("%s: %s", self.name, problem)
        changed = not publishers.same_as(self.publishers)
        self.publishers = publishers
        if (
            changed
        ):  # every new snapshot empties the caches of Checks, so an equal one is not published
            self._publish(publishers)
