"""One order at its issuer, and the fault that names both."""

from typing import NamedTuple

from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.common.errors import Fault
from workload.x509.material import Material


class CertificateFault(Fault):
    """A certificate can't be obtained; retryable if its cause is."""

    def __init__(self, message: str, cause: Fault | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.retryable, self.is_outage = cause.retryable, cause.is_outage
            self.retry_after_seconds = cause.retry_after_seconds


class ObtainedCertificate(NamedTuple):
    """A certificate that was obtained for a reload, and is not served yet."""

    managed: ManagedCertificate
    material: Material


async def obtain(managed: ManagedCertificate, replaces: Material | None) -> Material:
    """Return a certificate in place of another. Raises ``CertificateFault``."""
    try:
        return await managed.issuer.issue(managed.order._replace(replaces=replaces))
    except Fault as fault:
        raise named_fault(managed, fault) from fault


def named_fault(managed: ManagedCertificate, fault: Fault) -> CertificateFault:
    """Return an issuer's fault with the names of the certificate and of the issuer."""
    return CertificateFault(
        f"certificate {managed.name!r}, issuer {managed.issuer.name!r}: {fault}", fault
    )
