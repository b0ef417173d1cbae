"""Certificates that CAs issue and Envoy does not serve, each with its key, as PEM.

The library that signs them makes none with an RSA-PSS key or with explicit curve parameters, so
these are made by exchanging the key's DER and signing again.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

SEQUENCE, INTEGER, BIT_STRING, OCTET_STRING, OID = 0x30, 0x02, 0x03, 0x04, 0x06
_RSA_PSS = bytes.fromhex("2a864886f70d01010a")
_EC_KEY = bytes.fromhex("2a8648ce3d0201")
_PRIME_FIELD = bytes.fromhex("2a8648ce3d0101")
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extension = tuple[x509.ExtensionType, bool]
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
X400_ADDRESS = bytes.fromhex("a3023000")
"""A GeneralName of a kind that few libraries read (RFC 5280 §4.2.1.6)."""


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one DER value."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def children(der: bytes) -> list[bytes]:
    """Return the values in a DER sequence, each with its own header."""
    _, start, end = _header(der, 0)
    found, at = [], start
    while at < end:
        _, _, after = _header(der, at)
        found.append(der[at:after])
        at = after
    return found


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    tag, size, start = der[at], der[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(der[start : start + count], "big"), start + count
    return tag, start, start + size


def integer(value: int) -> bytes:
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


class Odd(NamedTuple):
    """A certificate with its key, PEM."""

    certificate: bytes
    key: bytes


def self_signed(
    key: PrivateKey,
    names: Sequence[x509.GeneralName],
    extensions: Sequence[Extension] = (),
    *,
    now: datetime | None = None,
) -> x509.Certificate:
    """Return a certificate of a day with these extensions."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])
    moment = now or datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA elsewhere")]))
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def odd(key: PrivateKey, *extensions: Extension, now: datetime | None = None) -> Odd:
    """Return a certificate for ``a.example`` with these extensions."""
    made = self_signed(key, [x509.DNSName("a.example")], extensions, now=now)
    return Odd(made.public_bytes(Encoding.PEM), pem_of(key))


def pem_of(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def exchanged(certificate: x509.Certificate, old: bytes, new: bytes, key: PrivateKey) -> bytes:
    """Return the DER of a certificate in which one value is another, signed again."""
    tbs, algorithm, _ = children(certificate.public_bytes(Encoding.DER))
    changed = tlv(SEQUENCE, *(new if each == old else each for each in children(tbs)))
    return _signed(changed, algorithm, key)


def with_san(certificate: x509.Certificate, general_names: bytes, key: PrivateKey) -> bytes:
    """Return the DER of a certificate whose SAN holds these encoded names."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    old = tlv(OCTET_STRING, extension.value.public_bytes())
    new = tlv(OCTET_STRING, tlv(SEQUENCE, general_names))
    return with_extension_value(certificate, old, new, key)


def with_extension_value(
    certificate: x509.Certificate, old: bytes, new: bytes, key: PrivateKey
) -> bytes:
    """Return the DER of a certificate in which an extension has another value."""
    tbs, algorithm, _ = children(certificate.public_bytes(Encoding.DER))
    parts = children(tbs)
    listed = children(children(parts[-1])[0])
    changed = [
        tlv(SEQUENCE, *(new if part == old else part for part in children(each))) for each in listed
    ]
    parts[-1] = tlv(0xA3, tlv(SEQUENCE, *changed))
    return _signed(tlv(SEQUENCE, *parts), algorithm, key)


def _signed(tbs: bytes, algorithm: bytes, key: PrivateKey) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\0", signature))


def as_pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def rsa_pss(key: rsa.RSAPrivateKey) -> Odd:
    """Return a certificate whose key may sign with RSA-PSS alone (RFC 4055 §1.2)."""
    return _with_algorithm(key, tlv(SEQUENCE, tlv(OID, _RSA_PSS)))


def explicit_curve(key: ec.EllipticCurvePrivateKey) -> Odd:
    """Return a certificate whose key spells out the parameters of P-256 (RFC 5480 §2.1.1)."""
    curve = tlv(
        SEQUENCE,
        tlv(OCTET_STRING, (_P - 3).to_bytes(32, "big")),
        tlv(OCTET_STRING, _B.to_bytes(32, "big")),
    )
    parameters = tlv(
        SEQUENCE,
        integer(1),
        tlv(SEQUENCE, tlv(OID, _PRIME_FIELD), integer(_P)),
        curve,
        tlv(OCTET_STRING, bytes.fromhex(_G)),
        integer(_N),
        integer(1),
    )
    return _with_algorithm(key, tlv(SEQUENCE, tlv(OID, _EC_KEY), parameters))


def _with_algorithm(key: PrivateKey, algorithm: bytes) -> Odd:
    plain = self_signed(key, [x509.DNSName("a.example")])
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    _, bits = children(public)
    certificate = exchanged(plain, public, tlv(SEQUENCE, algorithm, bits), key)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    version, _, content = children(private)
    return Odd(
        as_pem("CERTIFICATE", certificate),
        as_pem("PRIVATE KEY", tlv(SEQUENCE, version, algorithm, content)),
    )


def usage(*names: str) -> x509.KeyUsage:
    """Return a key usage with these bits set."""
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in names for bit in bits})


_EC, _RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Case(NamedTuple):
    """A certificate, our reason to refuse it (empty: served), and Envoy's (empty: it takes it)."""

    name: str
    made: Odd
    ours: str
    envoy: str


_LOAD = "Failed to load certificate chain"
CASES = (
    Case("plain EC", odd(_EC), "", ""),
    Case("plain RSA", odd(_RSA), "", ""),
    Case("P-384", odd(ec.generate_private_key(ec.SECP384R1())), "", ""),
    Case("both usages", odd(_EC, (x509.ExtendedKeyUsage([SERVER, CLIENT]), False)), "", ""),
    Case("digitalSignature", odd(_EC, (usage("digital_signature"), True)), "", ""),
    Case("a critical constraint", odd(_EC, (x509.BasicConstraints(False, None), True)), "", ""),
    Case("unknown, not critical", odd(_EC, (UNKNOWN, False)), "", ""),
    Case("unknown, critical", odd(_EC, (UNKNOWN, True)), "critical extension 1.3.6.1.4.1", ""),
    Case("must-staple", odd(_EC, (STAPLE, False)), "must-staple", "OCSP response is required"),
    Case("must-staple, critical", odd(_EC, (STAPLE, True)), "must-staple", "OCSP response"),
    Case("EC to encipher", odd(_EC, (usage("key_encipherment"), True)), "digitalSignature", _LOAD),
    Case("RSA to encipher", odd(_RSA, (usage("key_encipherment"), True)), "digitalSignature", ""),
    Case("RSA-PSS", rsa_pss(_RSA), "RSA-PSS", _LOAD),
    Case("explicit parameters", explicit_curve(_EC), "explicit parameters", _LOAD),
    Case("clientAuth", odd(_EC, (x509.ExtendedKeyUsage([CLIENT]), False)), "clientAuth alone", ""),
    Case("a CA's", odd(_EC, (x509.BasicConstraints(True, None), True)), "a CA certificate", ""),
)
