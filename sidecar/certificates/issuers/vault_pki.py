"""Certificates from Vault PKI: the key is made here, and only a CSR leaves (SECURITY-MODEL §9)."""

import logging
from collections.abc import Sequence
from typing import Protocol

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.keys import (
    P256,
    KeyKind,
    configured_kind,
    demanded_kind,
    make_key,
)
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.common.clock import Now
from sidecar.config import model
from sidecar.vault.errors import VaultRejected
from workload.x509.addresses import check_addresses
from workload.x509.csr import make_csr
from workload.x509.material import Material, check_material

_log = logging.getLogger("sidecar.certificates")
_KINDS_TRIED = 2
"""A role may refuse the type of a key, and then its size."""


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
        ip_sans: Sequence[str],
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
        configured = configured_kind(settings.key)
        self._is_fixed = configured is not None
        self._kind = configured or P256
        """What keys are made of: what the role demanded last, unless one is configured."""
        self.name: str = settings.name

    async def issue(self, order: Order) -> Material:
        """Make a key, have its CSR signed, check the answer. Raises ``Fault``."""
        async with self.slots.hold(order):
            return await self._issue(order)

    async def _issue(self, order: Order) -> Material:
        for _ in range(_KINDS_TRIED):
            try:
                return await self._sign(order, self._kind)
            except VaultRejected as fault:
                demanded = demanded_kind(fault.words, self._kind)
                if self._is_fixed or demanded is None or demanded == self._kind:
                    raise
                _log.info("issuer %s: the role demands %s keys of %d bits", self.name, *demanded)
                self._kind = demanded
        return await self._sign(order, self._kind)

    async def _sign(self, order: Order, kind: KeyKind) -> Material:
        settings = self._settings
        key = await make_key(kind)
        names = tuple(dict.fromkeys(order.dns_names))
        chain_pem = await self._signer.sign_csr(
            settings.mount,
            settings.role,
            make_csr(key, names, order.uri_sans, order.ip_sans),
            common_name=names[0] if names else "",
            alt_names=names,
            uri_sans=order.uri_sans,
            ip_sans=order.ip_sans,
            ttl_seconds=settings.ttl_seconds,
        )
        made = check_material(chain_pem, key, names, self._now(), uri_sans=order.uri_sans)
        return check_addresses(made, order.ip_sans)
