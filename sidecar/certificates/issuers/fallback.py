"""A second CA for orders that the first one fails."""

import logging

from sidecar.certificates.issuers.base import Issuer, Order, RenewalAdvice, advise
from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultFault
from workload.x509.material import Material

_log = logging.getLogger("sidecar.certificates")


class FallbackFault(Fault):
    """Both CAs failed; retryable if one fault is, after the shorter of the two pauses."""

    def __init__(self, first: Fault, second: Fault) -> None:
        super().__init__(f"{first}; then the fallback: {second}")
        self.retryable = first.retryable or second.retryable
        waits = [first.retry_after_seconds, second.retry_after_seconds]
        self.retry_after_seconds = None if None in waits else min(w for w in waits if w is not None)


class FallbackIssuer:
    """Asks the first issuer, and the second one if the first one's CA fails."""

    def __init__(self, first: Issuer, second: Issuer) -> None:
        self._first = first
        self._second = second
        self.name = first.name
        self.fell_back = 0

    async def issue(self, order: Order) -> Material:
        """Issue from the first CA that succeeds. A fault of Vault is no reason to change CAs."""
        try:
            return await self._first.issue(order)
        except VaultFault:
            raise
        except Fault as fault:
            _log.warning(
                "issuer %s failed: %s; asking the fallback %s",
                self._first.name,
                fault,
                self._second.name,
                extra={"certificate": order.name},
            )
            first = fault
        try:
            material = await self._second.issue(order)
        except Fault as second:
            raise FallbackFault(first, second) from second
        self.fell_back += 1
        return material

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Ask the first CA, and the second one if that fails: only the issuing CA gives advice."""
        try:
            return await advise(self._first, material)
        except Fault:
            return await advise(self._second, material)
