"""A Python service's own identity, straight from Vault: for services without Envoy.

The same renewal, trust and checks as the sidecar's, in the service's process: the key is made
here, Vault PKI sees a CSR, and nothing is written to a disk.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec

from workload.clock import monotonic_seconds, wall_seconds
from workload.mtls.identity import WorkloadIdentity
from workload.mtls.refresh import CertificateRenewer, TrustPoller
from workload.settings import PkiRole, SettingsFault, Trust, VaultServer
from workload.vault.client import VaultApi
from workload.x509.anchors import TrustAnchors, read_anchors, read_chain
from workload.x509.csr import make_csr
from workload.x509.identities import is_spiffe_id
from workload.x509.material import Material, check_material


class Workload(WorkloadIdentity):
    """A ``WorkloadIdentity`` that Vault keeps fresh, for the length of a block.

    ``role`` must allow ``spiffe_id`` (``allowed_uri_sans``) and ``dns_names``. ``trust`` says
    whom to believe, and by its ``peers`` who may be here where a context names nobody. Raises
    ``Fault`` on entry if Vault gives either not.
    """

    def __init__(
        self,
        server: VaultServer,
        role: PkiRole,
        trust: Trust,
        *,
        spiffe_id: str,
        dns_names: tuple[str, ...] = (),
    ) -> None:
        if not is_spiffe_id(spiffe_id):
            raise SettingsFault(f"spiffe_id {spiffe_id!r} is no SPIFFE ID")
        super().__init__(wall_seconds, peers=trust.peers, spki_pins=trust.spki_pins)
        self.spiffe_id = spiffe_id
        self._dns_names = tuple(dict.fromkeys(dns_names))
        self._role = role
        self._trust = trust
        self._vault = VaultApi(server, monotonic_seconds)
        self.certificate = CertificateRenewer(self._issue, self.show, wall_seconds, random.random)
        self.trust = TrustPoller(
            self._read_trust, self.believe, trust.poll_seconds, wall_seconds, random.random
        )
        self._stack = AsyncExitStack()

    def renew_soon(self) -> None:
        """Have the certificate renewed now."""
        self.certificate.soon()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self._vault.forget)
            await self.trust.load()
            await self.certificate.load()
            for loop in (self.trust.run(), self.certificate.run()):
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

    async def _issue(self) -> Material:
        """Make a key, have its CSR signed, check the answer. Raises ``Fault``."""
        key = ec.generate_private_key(ec.SECP256R1())
        names, uris = self._dns_names, (self.spiffe_id,)
        csr_pem = make_csr(key, names, uris)
        chain_pem = await self._vault.sign(self._role, csr_pem, names, uris)
        return check_material(chain_pem, key, names, wall_seconds(), uri_sans=uris)

    async def _read_trust(self) -> TrustAnchors:
        """Read whom to believe. Raises ``Fault``."""
        pems = await self._vault.read_roots(self._trust.roots)
        chains = [read_chain(pem) for pem in pems.chains]
        if pems.listed:
            chains = [[each] for chain in chains for each in chain]
        return read_anchors(chains, pems.crls, wall_seconds())


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
