"""Certificates from Vault PKI: the key is made here, and only a CSR leaves (SECURITY-MODEL §9)."""

import ipaddress
from collections.abc import Sequence
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.material import Material, check_material
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.config import model

_MAX_COMMON_NAME = 64
"""RFC 5280, appendix A (ub-common-name). A longer name is only among the SANs."""


class CsrFault(Fault):
    """A CSR can't be made for these names."""


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
        self._settings = settings
        self._signer = signer
        self._now = now
        self.name: str = settings.name

    async def issue(self, order: Order) -> Material:
        """Make a key, have its CSR signed, check the answer. Raises ``Fault``."""
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


def make_csr(
    key: ec.EllipticCurvePrivateKey, names: Sequence[str], uris: Sequence[str] = ()
) -> str:
    """Return a CSR (RFC 2986) for DNS names and URIs.

    The first DNS name is also the common name, if it is short enough.

    Raises ``CsrFault`` if there is no name, and for an IP address, which is not a DNS name.
    """
    if not names and not uris:
        raise CsrFault("the order has no name")
    for name in names:
        if _is_address(name):
            raise CsrFault(f"{name} is an IP address; certificates are for host names")
    common = [name for name in names[:1] if len(name) <= _MAX_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common])
    sans = (*map(x509.DNSName, names), *map(x509.UniformResourceIdentifier, uris))
    request = (
        x509.CertificateSigningRequestBuilder(subject)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode("ascii")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
