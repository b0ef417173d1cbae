"""Requests for certificates (PKCS #10)."""

import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from workload.errors import Fault

_MAX_COMMON_NAME = 64
"""RFC 5280, appendix A (ub-common-name). A longer name stands among the SANs only."""


class CsrFault(Fault):
    """No certificate can be asked for with these names."""


def make_csr(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    names: Sequence[str],
    uris: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> str:
    """Return a CSR (RFC 2986) for DNS names, URIs and IP addresses.

    The first DNS name is the common name too, where it fits.

    Raises ``CsrFault`` for no name at all, and for an address among the names: it would be
    certified as the name it is not.
    """
    if not names and not uris and not addresses:
        raise CsrFault("no name is requested")
    for name in names:
        if _is_address(name):
            raise CsrFault(f"{name} is an address; certificates are for host names")
    common = [name for name in names[:1] if len(name) <= _MAX_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common])
    sans = (
        *map(x509.DNSName, names),
        *map(x509.UniformResourceIdentifier, uris),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    )
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
