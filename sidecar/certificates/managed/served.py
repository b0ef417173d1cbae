"""What a listener serves, held against what it was given: the difference in words. Pure.

By its certificate, its chain, its names and its dates. That the listener has the key the handshake
itself proves (RFC 8446 §4.4.3).
"""

from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.printable import printable
from workload.x509.material import Material
from workload.x509.reading import CertificateUnreadable, find_extension, reading
from workload.x509.wildcards import covers

_MAX_WORDS = 400


class ServedChain(NamedTuple):
    """The certificates that a listener sent, leaf first."""

    chain: tuple[x509.Certificate, ...]
    failure: str = ""
    """Why there was no handshake; then there is no chain."""
    refusal: str = ""
    """Why a client refuses it; empty if one takes it, or that was not tried."""

    @property
    def serial(self) -> str:
        """The leaf's serial, hexadecimal; or why there is none."""
        return f"{self.chain[0].serial_number:x}" if self.chain else self.failure


def difference(given: Material, served: ServedChain, server_name: str, now: float) -> str:
    """Return in words what a client meets in place of what was given; empty if it is the same."""
    if not served.chain:
        return served.failure
    leaf = served.chain[0]
    if _pem(served.chain) == given.chain_pem:
        found = ""
    elif given.chain_pem.startswith(_pem([leaf])):
        found = _chain_words(given, served.chain)
    else:
        found = (
            f"it serves serial {served.serial} of {_issuer_of(leaf)}, which {_state(leaf, now)}"
            f"{_names_words(leaf, server_name)}, and not {given.serial}, which it was given"
        )
    words = "; ".join(filter(None, (found, served.refusal)))
    return words[:_MAX_WORDS]


def _chain_words(given: Material, chain: Sequence[x509.Certificate]) -> str:
    wanted = given.chain_pem.count(b"-----BEGIN CERTIFICATE-----")
    if len(chain) < wanted:
        missing = wanted - len(chain)
        return (
            f"it serves the certificate without {missing} of the {wanted - 1} CA certificates "
            "above it: clients that do not know these reject it"
        )
    return "it serves the certificate with other CA certificates above it"


def _issuer_of(leaf: x509.Certificate) -> str:
    try:
        with reading("the certificate's issuer"):
            return printable(leaf.issuer.rfc4514_string())[:100] or "nobody"
    except CertificateUnreadable:
        return "an issuer without a readable name"


def _state(leaf: x509.Certificate, now: float) -> str:
    ends = leaf.not_valid_after_utc
    verb = "ended" if ends.timestamp() <= now else "ends"
    return f"{verb} {ends.isoformat()}"


def _names_words(leaf: x509.Certificate, server_name: str) -> str:
    """Say that a certificate is not for the name that was asked for."""
    try:
        sans = find_extension(leaf, x509.SubjectAlternativeName)
        with reading("the certificate"):
            names = () if sans is None else tuple(sans.get_values_for_type(x509.DNSName))
    except CertificateUnreadable:
        names = ()
    is_for_it = any(covers(each.lower(), server_name) for each in names)
    return "" if is_for_it else f" and is not for {server_name}"


def _pem(chain: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)
