"""The names in a certificate, and what it takes for one of them to be on a list."""

from typing import NamedTuple

from cryptography import x509


class CertificateNames(NamedTuple):
    """The SANs that identify somebody. A subject's common name is none of them (RFC 9525)."""

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()


def names_of(certificate: x509.Certificate) -> CertificateNames:
    """Read a certificate's SANs; one that can't be read has none."""
    try:
        sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
        return CertificateNames(tuple(uris), tuple(sans.get_values_for_type(x509.DNSName)))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return CertificateNames()


def matches(name: str, pattern: str) -> bool:
    """Match exactly, or by a prefix that ends with a slash: ``spiffe://domain/ns/*``."""
    if not name or "=" in name:
        return False
    if pattern.endswith("/*"):
        return name.startswith(pattern[:-1]) and "/../" not in name
    return name == pattern
