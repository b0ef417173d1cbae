"""A Python service's own identity, straight from Vault: for services without Envoy.

The same issuer, renewal, trust bundle and checks as the sidecar's, in the service's process:
the key is made here, Vault PKI sees a CSR, and nothing is written to a disk.
"""

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config.certificates import VaultPkiIssuer
from sidecar.config.model import Vault
from sidecar.config.secrets import TrustBundle
from sidecar.mtls.identity import WorkloadIdentity
from sidecar.sds.secrets.poller import SecretPoller, SourceStatus, StatusChange
from sidecar.sds.secrets.source import SecretSource, VersionedValue
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.vault.client import VaultClient

_NAME = "workload"
_log = logging.getLogger("sidecar.mtls")


class Workload(WorkloadIdentity):
    """An ``WorkloadIdentity`` that Vault keeps fresh, for the length of a block.

    ``issuer`` names the PKI role, which must allow ``spiffe_id`` (``allowed_uri_sans``) and
    ``dns_names``. ``trust`` says whom to believe, and by its ``peers`` who may be here where a
    context names nobody. Raises ``Fault`` on entry if Vault gives either not.
    """

    def __init__(
        self,
        vault: Vault,
        issuer: VaultPkiIssuer,
        trust: TrustBundle,
        *,
        spiffe_id: str,
        dns_names: tuple[str, ...] = (),
    ) -> None:
        super().__init__(wall_seconds, peers=trust.peers, spki_pins=trust.spki_pins)
        self.spiffe_id = spiffe_id
        self._vault = VaultClient(vault, clock=monotonic_seconds)
        self._store = CertificateStore(wall_seconds)
        self._store.watch(lambda name: self.show(self._store.get(name)))
        self.certificates = CertificateManager(
            [
                (
                    Order(_NAME, dns_names, (spiffe_id,)),
                    PkiIssuer(issuer, self._vault, wall_seconds),
                )
            ],
            self._store,
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
        )
        self.trust = SecretPoller(
            [BundleSource(trust, VaultAnchors(self._vault), wall_seconds)],
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            publish=self._published,
            on_state=_say,
        )
        self._stack = AsyncExitStack()

    def renew_soon(self) -> None:
        """Have the certificate renewed now."""
        self.certificates.renew_soon(_NAME)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._vault.close)
            await self.trust.load()
            await self.certificates.obtain_all()
            for loop in (self.trust.run(), self.certificates.keep_fresh()):
                stack.push_async_callback(_end, asyncio.create_task(loop))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.show(None)
        await self._stack.aclose()

    def _published(self, _source: SecretSource[Any], fetched: VersionedValue[Any]) -> None:
        self.believe(fetched.value)


def _say(change: StatusChange) -> None:
    level = logging.INFO if change.after is SourceStatus.FRESH else logging.WARNING
    _log.log(level, "trust bundle is %s%s", change.after, change.why and f": {change.why}")


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
