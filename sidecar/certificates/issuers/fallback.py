"""A second CA for when the first one can't or will not."""

import logging

from sidecar.certificates.issuers.base import Issuer, Order, RenewalAdvice, advise
from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultFault
from workload.x509.material import Material

_log = logging.getLogger("sidecar.certificates")


class FallbackFault(Fault):
    """Neither CA issues; retryable if one of them says so, as early as one of them says."""

    def __init__(self, first: Fault, second: Fault) -> None:
        super().__init__(f"{first}; and then: {second}")
        self.retryable = first.retryable or second.retryable
        waits = [first.retry_after_seconds, second.retry_after_seconds]
        self.retry_after_seconds = None if None in waits else min(w for w in waits if w is not None)


class FallbackIssuer:
    """Asks the first issuer, and the second one where that fails for its own reasons."""

    def __init__(self, first: Issuer, second: Issuer) -> None:
        self._first = first
        self._second = second
        self.name = first.name
        self.fell_back = 0

    async def issue(self, order: Order) -> Material:
        """Issue from the first CA that does. A Vault that is away is no reason to change CAs."""
        try:
            return await self._first.issue(order)
        except VaultFault:
            raise
        except Fault as fault:
            _log.warning(
                "%s: %s; asking %s", self._first.name, fault, self._second.name,
                extra={"certificate": order.name},
            )  # fmt: skip
            first = fault
        try:
            material = await self._second.issue(order)
        except Fault as second:
            raise FallbackFault(first, second) from second
        self.fell_back += 1
        return material

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Ask the first CA; one that did not issue the certificate gives no usable advice."""
        try:
            return await advise(self._first, material)
        except Fault:
            return await advise(self._second, material)
