"""Notices that a stored certificate was replaced: Vault KV has no push, so versions are polled."""

import logging
from collections.abc import Awaitable, Callable

from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.common.polling import PollStatus

_log = logging.getLogger("sidecar.certificates")


class KvWatch:
    """Looks at the version of every entry that one issuer serves from.

    It has no ``PollLoop``: it looks at once when it starts, for what was obtained before may
    have changed meanwhile, and whoever renews reads the entry itself, so nobody asks it to.
    """

    def __init__(self, issuer: KvIssuer, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._issuer = issuer
        self._sleep = sleep
        self.status = PollStatus(
            f"stored_certificates/{issuer.name}",
            f"the versions of the certificates of issuer {issuer.name!r}",
            _log,
            kept="certificates are served as they were read last",
        )

    async def run(self, manager: CertificateManager) -> None:
        """Look, until cancelled."""
        while True:
            with self.status.poll():
                await self.look(manager)
            await self._sleep(self._issuer.poll_seconds)

    async def look(self, manager: CertificateManager) -> None:
        """Have renewed whatever is another version than the one that was read.

        Raises the first ``Fault``: the rest would meet the same.
        """
        read = self._issuer.read
        kept = [each for each in manager if each.issuer is self._issuer]
        for name in read.keys() - {each.name for each in kept}:
            del read[name]
        for managed in kept:
            version = await self._issuer.version(managed.order)
            if version not in {0, read.get(managed.name, 0)}:
                manager.renew_soon(managed.name)
