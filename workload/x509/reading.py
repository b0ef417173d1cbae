"""Certificates and CRLs as others have written them: read, or refused by one fault. Pure.

``cryptography`` reads an extension when it is asked for, and says by a dozen exceptions that it
can't. All reading of foreign certificates goes through here, so that none of them leaves a parser.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from workload.errors import Fault

E = TypeVar("E", bound=x509.ExtensionType)
_CRL_KEYS = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


_UNDERSTOOD = frozenset({
    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES, ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.POLICY_MAPPINGS, ExtensionOID.INHIBIT_ANY_POLICY,
})  # fmt: skip
"""What OpenSSL and BoringSSL both know: the extensions that RFC 5280 §4.2 wants understood."""


class CertificateUnreadable(Fault):
    """A certificate or CRL has a part that can't be read."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn every exception of the parser within the block into ``CertificateUnreadable``."""
    try:
        yield
    except x509.UnsupportedGeneralNameType:
        raise CertificateUnreadable(
            f"{what} has a name of a kind that can't be read, such as an x400Address"
        ) from None
    except x509.DuplicateExtension:
        raise CertificateUnreadable(f"{what} has one extension twice") from None
    except Exception:  # noqa: BLE001 - a parser's edge: it raises KeyError for a TLS feature of 91
        raise CertificateUnreadable(f"{what} has a part that can't be read") from None


def load_chain(pem: str) -> list[x509.Certificate]:
    """Read the certificates of a PEM text. Raises ``CertificateUnreadable``."""
    with reading("the text"):
        return x509.load_pem_x509_certificates(pem.encode("ascii", "replace"))


def load_crl(pem: str) -> x509.CertificateRevocationList:
    """Read a CRL of a PEM text. Raises ``CertificateUnreadable``."""
    with reading("the text"):
        return x509.load_pem_x509_crl(pem.encode("ascii", "replace"))


def find_extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """Return a certificate's extension of a kind, if it has one.

    Raises ``CertificateUnreadable``, also where another extension can't be read: what is not
    understood may be a constraint.
    """
    with reading("the certificate"):
        try:
            return certificate.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None


def unknown_critical(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the OIDs of extensions that are critical and that TLS clients do not know.

    Whoever does not know a critical extension must refuse the certificate (RFC 5280 §4.2).
    Raises ``CertificateUnreadable``.
    """
    with reading("the certificate"):
        return tuple(
            each.oid.dotted_string
            for each in certificate.extensions
            if each.critical and each.oid not in _UNDERSTOOD
        )


def name_of(certificate: x509.Certificate) -> str:
    """Return a certificate's subject, for a message."""
    try:
        with reading("the certificate"):
            return certificate.subject.rfc4514_string()
    except CertificateUnreadable:
        return "an unreadable subject"


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether an issuer of this name and key signed a certificate, whatever it may sign."""
    try:
        with reading("the signature"):
            certificate.verify_directly_issued_by(issuer)
    except CertificateUnreadable:
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is signed with its own key: a root."""
    return is_signed_by(certificate, certificate)


def has_signed_crl(ca: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    """Return whether a CA of this name and key signed a CRL."""
    try:
        with reading("the CRL"):
            key = ca.public_key()
            return (
                crl.issuer == ca.subject
                and isinstance(key, _CRL_KEYS)
                and crl.is_signature_valid(key)
            )
    except CertificateUnreadable:
        return False


def public_key_der(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo. Raises ``CertificateUnreadable``."""
    with reading("the certificate's key"):
        return certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
