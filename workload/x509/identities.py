"""Who a certificate identifies: SPIFFE IDs and X.509-SVIDs, in the words of their standards. Pure.

One place for mTLS, trust bundles and routes. The standards are SPIFFE-ID and X509-SVID
(https://github.com/spiffe/spiffe/tree/main/standards).

A **SPIFFE ID** (SPIFFE-ID §2) is ``spiffe://``, a trust domain of ``a-z 0-9 . - _`` (255 bytes at
most, no user, no port) and a path whose segments are ``A-Z a-z 0-9 . - _``, none of them empty,
``.`` or ``..``; without query, fragment or percent-encoding, 2048 bytes at most.

A **certificate that identifies** (X509-SVID §2, §5.2) is a leaf: not a CA's, and it may sign
neither certificates nor CRLs. Its ID is its one URI SAN: with a second URI, whatever that is, it
identifies nobody. A name of another kind is no SPIFFE ID, even if it is spelt like one.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509

from workload.errors import Fault
from workload.x509.reading import CertificateUnreadable, find_extension, reading

SPIFFE = "spiffe://"
MAX_ID_BYTES = 2048
_SEGMENT = r"/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_DOMAIN = r"[a-z0-9._-]{1,255}"
_WORKLOAD_ID = re.compile(rf"spiffe://{_DOMAIN}(?:{_SEGMENT})+", re.ASCII)
_PREFIX = re.compile(rf"spiffe://{_DOMAIN}(?:{_SEGMENT})*/\*", re.ASCII)


class NoIdentity(Fault):
    """A certificate identifies nobody; the message says why."""


class PeerNames(NamedTuple):
    """The names by which a peer may be admitted. A subject's common name is none (RFC 9525)."""

    spiffe_id: str | None
    dns_names: tuple[str, ...]
    """In lower case."""
    addresses: tuple[str, ...] = ()
    """IP addresses, as ``ipaddress`` writes them. A DNS name that is spelt like one is none."""

    def admitted_by(self, patterns: Iterable[str]) -> str | None:
        """Return who the peer is, if a pattern admits it: its SPIFFE ID, else name or address."""
        listed = tuple(patterns)
        ids = [each for each in listed if each.startswith(SPIFFE)]
        spiffe_id = self.spiffe_id
        if spiffe_id is not None and any(matches_id(spiffe_id, each) for each in ids):
            return spiffe_id
        others = [each for each in listed if not each.startswith(SPIFFE)]
        addresses = {address for each in others if (address := address_of(each)) is not None}
        names = {each.lower() for each in others if address_of(each) is None}
        admitted = (
            *(each for each in self.dns_names if each in names),
            *(each for each in self.addresses if each in addresses),
        )
        found = next(iter(admitted), None)
        return found if found is None or spiffe_id is None else spiffe_id

    def __str__(self) -> str:
        """Return the names, bounded, for a message."""
        shown = (
            *((self.spiffe_id,) if self.spiffe_id else ()), *self.dns_names, *self.addresses,
        )  # fmt: skip
        return ", ".join(shown)[:200] or "nobody"


def address_of(text: str) -> str | None:
    """Return an IP address in its one form; ``None`` for any other text."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def is_spiffe_id(text: str) -> bool:
    """Return whether a text is a workload's SPIFFE ID (one with a path; X509-SVID §3.1)."""
    return len(text) <= MAX_ID_BYTES and _WORKLOAD_ID.fullmatch(text) is not None


def is_id_pattern(text: str) -> bool:
    """Return whether a text is a SPIFFE ID, or all below a slash: ``spiffe://domain/ns/*``."""
    return is_spiffe_id(text) or (len(text) <= MAX_ID_BYTES and bool(_PREFIX.fullmatch(text)))


def matches_id(spiffe_id: str, pattern: str) -> bool:
    """Return whether a valid SPIFFE ID is a pattern's, or stands below one that ends in ``/*``."""
    if pattern.endswith("/*"):
        return spiffe_id.startswith(pattern[:-1])
    return spiffe_id == pattern


def id_regex(pattern: str) -> str:
    """Return what matches, whole, the SPIFFE IDs of a pattern that ends in ``/*``, in RE2 too.

    For Envoy, which compares texts: by a mere prefix it would admit ``spiffe://domain/ns/../x``.
    """
    segment = r"(?:[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*|\.{3,})"
    return rf"{re.escape(pattern[:-2])}(?:/{segment})+"


def read_peer(certificate: x509.Certificate) -> PeerNames:
    """Return whom a peer's certificate identifies. Raises ``NoIdentity``.

    The chain, its dates and its CRLs are somebody else's affair: of the handshake.
    """
    try:
        check_leaf(certificate)
        sans = find_extension(certificate, x509.SubjectAlternativeName)
        if sans is None:
            raise NoIdentity("the certificate has no names (subjectAltName)")
        with reading("the certificate"):
            uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
            dns_names = tuple(each.lower() for each in sans.get_values_for_type(x509.DNSName))
            found = sans.get_values_for_type(x509.IPAddress)
            # In a name constraint it may be a network, which is nobody's address.
            addresses = tuple(filter(None, map(address_of, map(str, found))))
    except CertificateUnreadable as fault:
        raise NoIdentity(str(fault)) from None
    if len(uris) > 1:
        raise NoIdentity(
            "the certificate has several URI SANs; it must have exactly one (X509-SVID §2)"
        )
    uri = uris[0] if uris else ""
    if uri.lower().startswith("spiffe:") and not is_spiffe_id(uri):
        raise NoIdentity(f"{uri[:200]!r} is no SPIFFE ID of a workload (SPIFFE-ID §2)")
    return PeerNames(uri if is_spiffe_id(uri) else None, dns_names, addresses)


def check_leaf(certificate: x509.Certificate) -> None:
    """Raise ``NoIdentity`` for what may sign: it is no peer (X509-SVID §5.2)."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise NoIdentity("the certificate is a CA's (X509-SVID §5.2)")
    usage = find_extension(certificate, x509.KeyUsage)
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        raise NoIdentity("the certificate may sign certificates or CRLs (X509-SVID §5.2)")
