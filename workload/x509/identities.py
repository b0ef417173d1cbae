"""The names in a certificate, and how they are matched against a list of patterns."""

from typing import NamedTuple

from cryptography import x509


class CertificateNames(NamedTuple):
    """The SANs that identify a peer. A subject's common name does not (RFC 9525)."""

    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()


def names_of(certificate: x509.Certificate) -> CertificateNames:
    """Return a certificate's SANs; none if they can't be read."""
    try:
        sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
        return CertificateNames(tuple(uris), tuple(sans.get_values_for_type(x509.DNSName)))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return CertificateNames()


def matches(name: str, pattern: str) -> bool:
    """Return whether a name equals a pattern, or begins with one that ends in ``/*``.

    ``spiffe://domain/ns/*`` matches every name below ``spiffe://domain/ns/``.
    """
    if not name or "=" in name:
        return False
    if pattern.endswith("/*"):
        return name.startswith(pattern[:-1]) and "/../" not in name
    return name == pattern
