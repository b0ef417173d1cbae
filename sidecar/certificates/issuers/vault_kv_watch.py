"""Polls the versions of stored certificates, because Vault KV has no push."""

import logging
from collections.abc import Awaitable, Callable

from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollStatus

_log = logging.getLogger("sidecar.certificates")


class KvWatch:
    """Compares the version of every entry that one issuer serves from.

    It has no ``PollLoop``: it compares at once when it starts, because what was obtained before
    may have changed meanwhile, and a renewal reads the entry itself.
    """

    def __init__(
        self,
        issuer: KvIssuer,
        *,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._pace = PollPace(lambda: issuer.poll_seconds, jitter)
        self._sleep = sleep
        self.status = PollStatus(
            f"stored_certificates/{issuer.name}",
            f"the versions of the certificates of issuer {issuer.name!r}",
            _log,
            kept="the certificates that were read last are served",
        )

    async def run(self, manager: CertificateManager) -> None:
        """Poll the versions, until cancelled."""
        while True:
            with self.status.poll():
                await self.look(manager)
            await self._sleep(self._pace.pause_seconds(self.status))

    async def look(self, manager: CertificateManager) -> None:
        """Renew each certificate whose version is not the one that was read.

        Raises the first ``Fault``: the rest would fail for the same reason.
        """
        read = self._issuer.read
        kept = [each for each in manager if each.issuer is self._issuer]
        for name in read.keys() - {each.name for each in kept}:
            del read[name]
        for managed in kept:
            version = await self._issuer.version(managed.order)
            if version not in {0, read.get(managed.name, 0)}:
                manager.renew_soon(managed.name)
