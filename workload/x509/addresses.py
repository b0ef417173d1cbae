"""The IP addresses that a certificate is for (RFC 5280 §4.2.1.6, iPAddress)."""

import ipaddress
from collections.abc import Sequence

from cryptography import x509

from workload.x509.material import Material, MaterialFault

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_addresses(texts: Sequence[str]) -> tuple[IpAddress, ...]:
    """Return addresses in the form they are compared in. Raises ``ValueError``."""
    return tuple(ipaddress.ip_address(text) for text in texts)


def check_addresses(material: Material, wanted: Sequence[str]) -> Material:
    """Return the material if its leaf is for every address; else raise ``MaterialFault``."""
    if not wanted:
        return material
    try:
        leaf = x509.load_pem_x509_certificate(material.chain_pem)
        sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certified = set(sans.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        certified = set()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise MaterialFault("the certificate's addresses can't be read") from None
    missing = [str(each) for each in read_addresses(wanted) if each not in certified]
    if missing:
        raise MaterialFault(f"the certificate does not cover {', '.join(missing)}")
    return material
