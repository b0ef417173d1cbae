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
        self._seen: dict[str, int] = {}

    async def run(self, manager: CertificateManager) -> None:
        """Look, until cancelled."""
        while True:
            await self.look(manager)
            await self._sleep(self._issuer.poll_seconds)

    async def look(self, manager: CertificateManager) -> None:
        """Have renewed whatever changed since the last look."""
        kept = [each for each in manager if each.issuer is self._issuer]
        self._seen = {each.name: self._seen.get(each.name, -1) for each in kept}
        for holding in kept:
            try:
                version = await self._issuer.version(holding.order)
            except Fault as fault:
                _log.warning("a stored certificate is not looked at: %s", fault)
                return  # the rest would meet the same
            before, self._seen[holding.name] = self._seen[holding.name], version
            if version not in (before, 0) and before != -1:
                manager.renew_soon(holding.name)
