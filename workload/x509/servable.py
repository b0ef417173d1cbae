"""What of a certificate and its key Envoy and its clients accept. Pure.

Envoy refuses (NACKs) some certificates, and goes on with the one before; others it takes, and
every client refuses them at the handshake. Both are found here, where a certificate is issued or
stored, with the reason. The table of ``tests/support/odd_certificates.py`` is held against the
real Envoy.
"""

from typing import TypeGuard

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID

from workload.errors import Fault
from workload.x509.chains import is_ca
from workload.x509.reading import find_extension, reading, unknown_critical

MIN_RSA_BITS = 2048
_NAMED_CURVES = {
    "secp256r1": bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("301006072a8648ce3d020106052b81040022"),
}
"""The AlgorithmIdentifier of a key that names its curve (RFC 5480 §2.1.1)."""

ServableKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class NotServable(Fault):
    """A certificate that Envoy, or every client, refuses."""


def is_servable_key(key: object) -> TypeGuard[ServableKey]:
    """Return whether Envoy serves this kind of key: EC (P-256, P-384), RSA of 2048 bits or more."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS


def check_servable(leaf: x509.Certificate, *, for_hosts: bool) -> None:
    """Refuse a leaf that can't be served. Raises ``NotServable``, ``CertificateUnreadable``.

    ``for_hosts``: clients connect to it by a host's name. A service's certificate (a SPIFFE ID
    alone) may be for clients only; Envoy shows it where it calls others.
    """
    if is_ca(leaf):
        raise NotServable("the certificate is a CA certificate; it must be a server certificate")
    _check_key_form(leaf)
    _check_usages(leaf, for_hosts=for_hosts)
    feature = find_extension(leaf, x509.TLSFeature)
    if feature is not None and x509.TLSFeatureType.status_request in feature:
        raise NotServable(
            "the certificate is a must-staple one (RFC 7633), which Envoy serves with an OCSP "
            "response only, and none is served here: have it issued without that extension"
        )
    if unknown := unknown_critical(leaf):
        raise NotServable(
            f"the certificate has the critical extension {', '.join(unknown)}, "
            "which TLS clients do not know and therefore reject"
        )


def _check_key_form(leaf: x509.Certificate) -> None:
    with reading("the certificate's key"):
        algorithm, key = leaf.public_key_algorithm_oid, leaf.public_key()
        signed = leaf.tbs_certificate_bytes
    if algorithm == PublicKeyAlgorithmOID.RSASSA_PSS:
        raise NotServable(
            "the certificate is for an RSA-PSS key, which Envoy does not load; "
            "use a plain RSA key (rsaEncryption)"
        )
    if isinstance(key, ec.EllipticCurvePublicKey) and (
        _NAMED_CURVES.get(key.curve.name, b"\0") not in signed
    ):
        raise NotServable(
            "the certificate's EC key has explicit parameters in place of its curve's name; "
            "Envoy takes P-256 and P-384 by name (openssl: -pkeyopt ec_param_enc:named_curve)"
        )


def _check_usages(leaf: x509.Certificate, *, for_hosts: bool) -> None:
    usage = find_extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise NotServable(
            "the certificate's key usage has no digitalSignature, with which every handshake of "
            "TLS 1.3 is signed (RFC 8446 §4.4.2.2)"
        )
    extended = find_extension(leaf, x509.ExtendedKeyUsage)
    servers = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if for_hosts and extended is not None and servers.isdisjoint(extended):
        only = ExtendedKeyUsageOID.CLIENT_AUTH in extended
        raise NotServable(
            "the certificate's extended key usage "
            f"{'is clientAuth alone' if only else 'lacks serverAuth'}; "
            "clients reject a server with it (serverAuth, RFC 5280 §4.2.1.12)"
        )
