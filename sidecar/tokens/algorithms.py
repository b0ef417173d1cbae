"""The signature algorithms: one row each, and no other can be configured.

A row says which keys an algorithm is for and what its signature must look like before OpenSSL
sees it. All are signatures of public keys. HMAC and ``none`` have no row, so no configuration
and no token can ask for them (RFC 8725 §3.1, §3.2).

Sources: RFC 7518 §3.3 (RS*), §3.4 (ES*), §3.5 (PS*: MGF1 and the salt have the digest's hash and
length), RFC 8037 §3.1 and RFC 9864 §2.2 (EdDSA on Ed25519, under its old and its new name;
Ed448 has no row: no issuer uses it).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Verify = Callable[[Any, bytes, bytes], None]
"""``verify(public, signature, signed)``: return, or raise ``InvalidSignature`` or ``Denied``."""

_ED25519_BYTES = 64
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


class Algorithm(NamedTuple):
    """One signature algorithm (RFC 7518 §3.1): its name, its keys, and how it verifies."""

    name: str
    kty: str
    """The ``kty`` of its keys: ``EC``, ``RSA`` or ``OKP``."""
    crv: str | None
    """The ``crv`` of its keys; ``None`` for RSA."""
    verify: Verify

    def __str__(self) -> str:
        """Return the name, for messages."""
        return self.name

    def fits(self, public: object) -> bool:
        """Return whether a public key is of the type and on the curve of this algorithm."""
        return key_kind(public) == (self.kty, self.crv)


def key_kind(public: object) -> tuple[str, str | None] | None:
    """Return ``kty`` and ``crv`` of a public key; ``None`` for one that no algorithm uses."""
    match public:
        case ec.EllipticCurvePublicKey():
            crv = _CRV_OF_CURVE.get(public.curve.name)
            return None if crv is None else ("EC", crv)
        case rsa.RSAPublicKey():
            return "RSA", None
        case ed25519.Ed25519PublicKey():
            return "OKP", "Ed25519"
        case _:
            return None


def _invalid(detail: str) -> Denied:
    return Denied(Reason.SIGNATURE_INVALID, detail)


def _ecdsa(size: int, order: int, scheme: ec.ECDSA) -> Verify:
    """Return the check of r and s, ``size`` bytes each, in the range 1 to ``order`` - 1.

    CVE-2022-21449 is what happens without the range check.
    """
    width = 2 * size

    def verify(public: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
        if len(signature) != width:
            raise _invalid(f"the signature is not {width} bytes")
        r = int.from_bytes(signature[:size], "big")
        s = int.from_bytes(signature[size:], "big")
        if not (0 < r < order and 0 < s < order):
            raise _invalid("r or s is out of range")
        public.verify(encode_dss_signature(r, s), signed, scheme)

    return verify


def _rsa(scheme: padding.AsymmetricPadding, digest: hashes.HashAlgorithm) -> Verify:
    """Return the check of an RSA signature: as many bytes as the modulus (RFC 8017 §8)."""

    def verify(public: rsa.RSAPublicKey, signature: bytes, signed: bytes) -> None:
        width = (public.key_size + 7) // 8
        if len(signature) != width:
            raise _invalid(f"the signature is not {width} bytes")
        public.verify(signature, signed, scheme, digest)

    return verify


def _ed25519(public: ed25519.Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
    """Check an Ed25519 signature; s below the order, so that there is no second one."""
    if len(signature) != _ED25519_BYTES:
        raise _invalid(f"the signature is not {_ED25519_BYTES} bytes")
    if int.from_bytes(signature[32:], "little") >= _ED25519_ORDER:
        raise _invalid("s is out of range")
    public.verify(signature, signed)


def _ec_row(
    name: str, crv: str, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm
) -> Algorithm:
    size = (curve.key_size + 7) // 8
    return Algorithm(name, "EC", crv, _ecdsa(size, curve.group_order, ec.ECDSA(digest)))


def _rsa_rows(bits: int, digest: hashes.HashAlgorithm) -> tuple[Algorithm, Algorithm]:
    salted = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    return (
        Algorithm(f"RS{bits}", "RSA", None, _rsa(padding.PKCS1v15(), digest)),
        Algorithm(f"PS{bits}", "RSA", None, _rsa(salted, digest)),
    )


_CRV_OF_CURVE = {
    ec.SECP256R1.name: "P-256",
    ec.SECP384R1.name: "P-384",
    ec.SECP521R1.name: "P-521",
}
ES256 = _ec_row("ES256", "P-256", ec.SECP256R1(), hashes.SHA256())
ALGORITHMS: Mapping[str, Algorithm] = {
    each.name: each
    for each in (
        ES256,
        _ec_row("ES384", "P-384", ec.SECP384R1(), hashes.SHA384()),
        _ec_row("ES512", "P-521", ec.SECP521R1(), hashes.SHA512()),
        Algorithm("EdDSA", "OKP", "Ed25519", _ed25519),
        Algorithm("Ed25519", "OKP", "Ed25519", _ed25519),
        *_rsa_rows(256, hashes.SHA256()),
        *_rsa_rows(384, hashes.SHA384()),
        *_rsa_rows(512, hashes.SHA512()),
    )
}
DEFAULT_ALGORITHMS: tuple[Algorithm, ...] = (ES256,)
