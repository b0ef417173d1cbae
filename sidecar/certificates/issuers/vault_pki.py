"""Certificates from Vault PKI: the key is made here, and only a CSR leaves (SECURITY-MODEL §9)."""

from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.common.clock import Now
from sidecar.config import model
from workload.x509.csr import make_csr
from workload.x509.material import Material, check_material


class CertificateSigner(Protocol):
    """Signs CSRs; ``sidecar.vault.client.VaultClient`` implements it."""

    async def sign_csr(
        self,
        mount: str,
        role: str,
        csr_pem: str,
        *,
        common_name: str,
        alt_names: Sequence[str],
        uri_sans: Sequence[str],
        ttl_seconds: int,
    ) -> str:
        """Return the certificate and its chain, PEM, leaf first."""


class PkiIssuer:
    """Issues from one role of one mount."""

    def __init__(self, settings: model.VaultPkiIssuer, signer: CertificateSigner, now: Now) -> None:
        self.slots = OrderSlots()
        self._settings = settings
        self._signer = signer
        self._now = now
        self.name: str = settings.name

    async def issue(self, order: Order) -> Material:
        """Make a key, have its CSR signed, check the answer. Raises ``Fault``."""
        async with self.slots.hold(order):
            return await self._issue(order)

    async def _issue(self, order: Order) -> Material:
        settings = self._settings
        key = ec.generate_private_key(ec.SECP256R1())
        names = tuple(dict.fromkeys(order.dns_names))
        chain_pem = await self._signer.sign_csr(
            settings.mount,
            settings.role,
            make_csr(key, names, order.uri_sans),
            common_name=names[0] if names else "",
            alt_names=names,
            uri_sans=order.uri_sans,
            ttl_seconds=settings.ttl_seconds,
        )
        return check_material(chain_pem, key, names, self._now(), uri_sans=order.uri_sans)
