"""A certificate with its private key, checked before anyone may use it."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from workload.errors import Fault
from workload.x509.wildcards import covers

_MAX_CHAIN = 10
_MIN_RSA_BITS = 2048
_CLOCK_SKEW_SECONDS = 60.0
"""How far the CA's clock may be ahead of ours. The clocks of Envoy's clients differ too."""


ServableKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class MaterialFault(Fault):
    """A certificate or key that was issued or stored can't be served."""


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """A chain, leaf first, and the leaf's key. Times are Unix seconds.

    The key exists in memory and on its way to Envoy, nowhere else: ``repr`` hides it.
    """

    chain_pem: bytes
    key_pem: bytes
    names: tuple[str, ...]
    serial: str
    not_before: float
    not_after: float
    uris: tuple[str, ...] = ()
    """The URIs it is for, such as a SPIFFE ID."""

    def __repr__(self) -> str:
        """Name the certificate, without its key."""
        return f"Material(names={self.names}, serial={self.serial})"

    @property
    def version(self) -> str:
        """The version for SDS: other whenever any byte of what is served is other.

        A serial alone is none: a CA that was made anew counts from one again, and a chain can
        change under one leaf. The key is covered too, since it is the leaf's.
        """
        return f"{self.serial}.{hashlib.sha256(self.chain_pem).hexdigest()[:32]}"


def is_servable_key(key: object) -> TypeGuard[ServableKey]:
    """Return whether Envoy serves this kind of key: EC (P-256, P-384), RSA of 2048 bits or more."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS


def check_material(
    chain_pem: str,
    key: ServableKey,
    required: Sequence[str],
    now: float,
    *,
    uri_sans: Sequence[str] = (),
) -> Material:
    """Build ``Material`` from what a CA returned. Raises ``MaterialFault``.

    The key must be the leaf's, every link must be signed by the next, which must be a CA,
    the leaf must be valid now, must not be a CA, and must cover every required name and URI.
    """
    try:
        chain = x509.load_pem_x509_certificates(chain_pem.encode("ascii", "replace"))
    except ValueError:
        raise MaterialFault("the CA's answer is not a chain of PEM certificates") from None
    if not 0 < len(chain) <= _MAX_CHAIN:
        raise MaterialFault(
            f"the CA's answer has {len(chain)} certificates; 1 to {_MAX_CHAIN} are allowed"
        )
    leaf = chain[0]
    try:
        _check_key(leaf, key)
        _check_links(chain)
        names, uris = _names(leaf)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise MaterialFault(
            "the CA's answer has an extension or a key that can't be read"
        ) from None
    missing = [name for name in required if not any(covers(each, name) for each in names)]
    missing += [uri for uri in uri_sans if uri not in uris]
    if missing:
        raise MaterialFault(f"the certificate does not cover {', '.join(missing)}")
    not_before, not_after = _seconds(leaf.not_valid_before_utc), _seconds(leaf.not_valid_after_utc)
    if now >= not_after:
        raise MaterialFault("the certificate has expired")
    if now < not_before - _CLOCK_SKEW_SECONDS:
        raise MaterialFault(
            "the certificate is not valid yet; check the clocks of this host and of the CA"
        )
    return Material(
        chain_pem=b"".join(each.public_bytes(Encoding.PEM) for each in _without_root(chain)),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=names,
        serial=f"{leaf.serial_number:x}",
        not_before=not_before,
        not_after=not_after,
        uris=uris,
    )


def _check_key(leaf: x509.Certificate, key: ServableKey) -> None:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if leaf.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise MaterialFault("the certificate is for another key")


def _check_links(chain: Sequence[x509.Certificate]) -> None:
    if _is_ca(chain[0]):
        raise MaterialFault("the certificate is a CA certificate; it must be a server certificate")
    for certificate, issuer in pairwise(chain):
        if not _is_ca(issuer):
            raise MaterialFault("the chain is not valid: an issuer in it is not a CA")
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise MaterialFault(
                "the chain is not valid: a certificate is not signed by the next one"
            ) from None


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _without_root(chain: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    """Return the chain without its root, which a client trusts or not (RFC 8446 §4.4.2)."""
    has_root = len(chain) > 1 and chain[-1].issuer == chain[-1].subject
    return chain[:-1] if has_root else chain


def _names(leaf: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
    return tuple(sans.get_values_for_type(x509.DNSName)), tuple(uris)


def _seconds(moment: datetime) -> float:
    return moment.astimezone(UTC).timestamp()


def spki_pin(certificate: x509.Certificate) -> str:
    """Return base64 of the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 §2.4)."""
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    digest = hashlib.sha256(certificate.public_key().public_bytes(*form)).digest()
    return base64.b64encode(digest).decode("ascii")
