"""Polls the keys of pseudonyms, so that a key that was deleted is used no longer.

Without an answer the keys that were read before stay in force; if there are none yet, lines are
anonymous (``pseudonyms``). Nothing waits for it but the start, and that not for long.
"""

import logging
from collections.abc import Callable

from sidecar.audit_trail.key_store import KeyPlace, KeyStore, KeyVault
from sidecar.common.clock import Now
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.config import model
from sidecar.observability.audit.chain import FORGOTTEN, trail_line
from sidecar.observability.audit.entry import timestamp
from sidecar.observability.audit.pseudonyms import Pseudonymizer, PseudonymKeys
from sidecar.vault.errors import VaultStale

_log = logging.getLogger("sidecar.audit_trail")


class PseudonymKeyPoller:
    """Reads the keys, and gives them to the writing thread. ``append`` queues an audit line."""

    def __init__(
        self,
        settings: model.PseudonymSettings,
        vault: KeyVault,
        pseudonyms: Pseudonymizer,
        *,
        append: Callable[[bytes], None],
        now: Now,
        jitter: Callable[[], float],
    ) -> None:
        place = KeyPlace(settings.mount, settings.path)
        self.pseudonyms = pseudonyms
        self._store = KeyStore(vault, place, address_days=settings.address_days)
        self._append = append
        self._now = now
        self._keys: PseudonymKeys | None = None
        self.version = 0
        """The version of the keys in use; 0 for none."""
        self.status = PollStatus(
            "audit_pseudonyms",
            f"the keys of pseudonyms in {place.name}",
            _log,
            kept="the keys read before stay in force; without any, audit lines are anonymous",
        )
        pace = PollPace(lambda: settings.poll_seconds, jitter)
        self._loop = PollLoop(self._read, lambda: pace.pause_seconds(self.status))

    async def refresh(self) -> None:
        """Read them now; what can't be read changes nothing."""
        await self._loop.refresh()

    async def run(self) -> None:
        """Read until cancelled."""
        await self._loop.run()

    async def _read(self) -> None:
        with self.status.poll():
            keys = await self._store.read()
            version = self._store.version
            if self._keys is not None and version < self.version:
                raise VaultStale(
                    f"version {version} of the keys of pseudonyms after version {self.version}: "
                    "does a standby lag behind its leader, or was a backup restored?"
                )
            if keys == self._keys:
                return
            self.pseudonyms.use(keys)
            before, self._keys, self.version = self.version, keys, version
            if before and version > before:
                self._append(
                    trail_line(
                        timestamp(self._now()),
                        FORGOTTEN,
                        "subjects were deleted from the keys of pseudonyms",
                        key_version=version,
                    )
                )
