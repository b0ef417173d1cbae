"""Notices that a stored certificate was replaced: Vault KV has no push, so versions are polled."""

import logging
from collections.abc import Awaitable, Callable

from sidecar.certs.kv_issuer import KvIssuer
from sidecar.certs.manager import CertificateManager
from sidecar.errors import Fault

_log = logging.getLogger("sidecar.certs")


class KvWatch:
    """Looks at the version of every entry that one issuer serves from."""

    def __init__(self, issuer: KvIssuer, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._issuer = issuer
        self._sleep = sleep

    async def run(self, manager: CertificateManager) -> None:
        """Look, until cancelled."""
        while True:
            await self.look(manager)
            await self._sleep(self._issuer.poll_seconds)

    async def look(self, manager: CertificateManager) -> None:
        """Have renewed whatever is another version than the one that was read."""
        read = self._issuer.read
        kept = [each for each in manager if each.issuer is self._issuer]
        for name in read.keys() - {each.name for each in kept}:
            del read[name]
        for holding in kept:
            try:
                version = await self._issuer.version(holding.order)
            except Fault as fault:
                _log.warning("a stored certificate is not looked at: %s", fault)
                return  # the rest would meet the same
            if version not in {0, read.get(holding.name, 0)}:
                manager.renew_soon(holding.name)
