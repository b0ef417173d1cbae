"""One JSON Web Key (RFC 7517): which algorithm it is bound to, its public key, its thumbprint.

A key verifies under one algorithm only (RFC 8725 §3.1). The issuer's settings list the allowed
ones; the key's ``kty`` and ``crv`` must leave exactly one of them, or its ``alg`` must name it.
An RSA key without ``alg`` under an issuer that allows several RSA algorithms is bound to none.

Only public members are read, so the private half of a key goes no further than this. What points
to or holds a certificate (``x5u``, ``x5c``, ``x5t``) is never looked at.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sidecar.common.base64url import encode_base64url
from sidecar.common.errors import Denied, Fault
from sidecar.tokens.algorithms import DEFAULT_ALGORITHMS, Algorithm, PublicKey, key_kind
from sidecar.tokens.keyring import MAX_KID_LENGTH, VerificationKey
from sidecar.tokens.strict import decode_base64url

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1)."""
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""A larger modulus makes one verification cost as much as a flood of requests."""
MAX_EXPONENT_BITS = 32
"""65537 is what everybody uses; OpenSSL bounds the exponent of large keys to 64 bits itself."""
_MIN_EXPONENT = 3
_MAX_MEMBER = 2048
"""Characters of one member: 8192 bits have 1366."""
_CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_ED25519_BYTES = 32
_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519
_COFACTOR = 8
_Point = tuple[int, int]


class JwkFault(Fault):
    """A JWK that this issuer's tokens can't be verified with; says why, in half a sentence."""


def read_jwk(
    jwk: Mapping[str, Any],
    issuer: str | None,
    algorithms: Sequence[Algorithm] = DEFAULT_ALGORITHMS,
) -> VerificationKey:
    """Read one JWK as a key of ``issuer``, bound to one of ``algorithms``.

    Raises ``JwkFault`` for a key for something else, one that is bound to none or to several of
    the algorithms, and one that is weak or no key at all.
    """
    algorithm = bind_jwk(jwk, algorithms)
    public = _READERS[algorithm.kty](jwk)
    kid = jwk.get("kid")
    if kid is None:
        kid = thumbprint(public)
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH or not kid.isprintable():
        raise JwkFault(f"its kid is not text of 1 to {MAX_KID_LENGTH} printable characters")
    return VerificationKey(kid, public, issuer, algorithm)


def bind_jwk(jwk: Mapping[str, Any], algorithms: Sequence[Algorithm]) -> Algorithm:
    """Return the one algorithm that a JWK is for, according to all of its metadata.

    ``use`` and ``key_ops`` are respected if present (RFC 7517 §4.2, §4.3): a key published for
    encryption is never used for signatures. Raises ``JwkFault``.
    """
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig":
        raise JwkFault("its use is not sig")
    if not isinstance(operations, list) or not ("verify" in operations or "sign" in operations):
        raise JwkFault("its key_ops do not contain verify")
    kty, crv = jwk.get("kty"), jwk.get("crv")
    fitting = [
        each for each in algorithms if each.kty == kty and (each.crv is None or each.crv == crv)
    ]
    if "alg" in jwk:
        alg = jwk["alg"]
        return _only(
            [each for each in fitting if each.name == alg], algorithms, "type, crv and alg"
        )
    return _only(fitting, algorithms, "type and crv")


def bind_public(public: object, algorithms: Sequence[Algorithm]) -> Algorithm:
    """Return the one algorithm that a key without metadata is for, as one in PEM.

    Raises ``JwkFault``.
    """
    kind = key_kind(public)
    fitting = [each for each in algorithms if (each.kty, each.crv) == kind]
    return _only(fitting, algorithms, "type and curve")


def thumbprint(key: PublicKey) -> str:
    """Return the RFC 7638 thumbprint (SHA-256, base64url) of a public key (RFC 8037 §2 too)."""
    canonical = json.dumps(_members(key), separators=(",", ":"), sort_keys=True)
    return encode_base64url(hashlib.sha256(canonical.encode()).digest())


def public_half(key: object) -> PublicKey:
    """Return the public half of a key that OpenSSL has read, if it may verify tokens.

    Raises ``JwkFault`` for a type that no algorithm uses, and for a weak key.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        key = key.public_key()
    match key:
        case ec.EllipticCurvePublicKey() if key_kind(key) is not None:
            return key
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            _check_rsa(numbers.n, numbers.e)
            return key
        case ed25519.Ed25519PublicKey():
            _check_ed25519(key.public_bytes_raw())
            return key
    raise JwkFault("it is of a type that no algorithm of tokens uses")


def _only(fitting: Sequence[Algorithm], algorithms: Sequence[Algorithm], by: str) -> Algorithm:
    if not fitting:
        raise JwkFault(f"it is, by its {by}, not for {' or '.join(map(str, algorithms))}")
    if len(fitting) > 1:
        raise JwkFault(
            f"it names no alg, and {' and '.join(map(str, fitting))} are allowed: "
            "allow the one that its issuer signs with"
        )
    return fitting[0]


def _members(key: PublicKey) -> dict[str, str]:
    """Return the required members of a public key (RFC 7638 §3.2)."""
    match key:
        case ec.EllipticCurvePublicKey():
            size, point = (key.curve.key_size + 7) // 8, key.public_numbers()
            kind = key_kind(key)
            return {
                "kty": "EC",
                "crv": str(kind and kind[1]),
                "x": encode_base64url(point.x.to_bytes(size, "big")),
                "y": encode_base64url(point.y.to_bytes(size, "big")),
            }
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return {"kty": "RSA", "n": _of_number(numbers.n), "e": _of_number(numbers.e)}
        case ed25519.Ed25519PublicKey():
            x = encode_base64url(key.public_bytes_raw())
            return {"kty": "OKP", "crv": "Ed25519", "x": x}


def _of_number(value: int) -> str:
    return encode_base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _bytes(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_MEMBER or not value.isascii():
        raise JwkFault(f"its {name} is not base64url of at most {_MAX_MEMBER} characters")
    try:
        return decode_base64url(value.encode(), name)
    except Denied:
        raise JwkFault(f"its {name} is not base64url without padding") from None


def _read_ec(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """Read a point; both coordinates have the curve's full size (RFC 7518 §6.2.1.2)."""
    crv = str(jwk["crv"])
    curve = _CURVES[crv]
    size = (curve.key_size + 7) // 8
    x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
    if len(x) != size or len(y) != size:
        raise JwkFault(f"its x and y are not a point on {crv}: they must have {size} bytes each")
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve
    )
    try:
        return numbers.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise JwkFault(f"its x and y are not a point on {crv}") from None


def _read_rsa(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    n, e = (int.from_bytes(_bytes(jwk, name), "big") for name in ("n", "e"))
    _check_rsa(n, e)
    try:
        return rsa.RSAPublicNumbers(e, n).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise JwkFault("its n and e are no RSA key") from None


def _check_rsa(n: int, e: int) -> None:
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise JwkFault(
            f"its modulus has {n.bit_length()} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are allowed"
        )
    if n % 2 == 0:
        raise JwkFault("its modulus is even")
    if e % 2 == 0 or e < _MIN_EXPONENT or e.bit_length() > MAX_EXPONENT_BITS:
        raise JwkFault(
            f"its exponent is not an odd number from {_MIN_EXPONENT} of at most "
            f"{MAX_EXPONENT_BITS} bits"
        )


def _read_okp(jwk: Mapping[str, Any]) -> ed25519.Ed25519PublicKey:
    raw = _bytes(jwk, "x")
    if len(raw) != _ED25519_BYTES:
        raise JwkFault(f"its x has {len(raw)} bytes, an Ed25519 key has {_ED25519_BYTES}")
    _check_ed25519(raw)
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


def _check_ed25519(raw: bytes) -> None:
    """Refuse 32 bytes that are no point, no canonical one, or one of small order.

    Under a key of small order anybody can sign (RFC 8032 §8.9 asks for care; OpenSSL takes it).
    Raises ``JwkFault``.
    """
    encoded = int.from_bytes(raw, "little")
    sign, y = encoded >> 255, encoded & (2**255 - 1)
    point = _decompress(y, sign)
    if point is None:
        raise JwkFault("its x is not a point on Ed25519")
    multiple = point
    for _ in range(_COFACTOR.bit_length() - 1):
        multiple = _add(multiple, multiple)
    if multiple == (0, 1):
        raise JwkFault("its x is a point of small order, under which anybody could sign")


def _decompress(y: int, sign: int) -> _Point | None:
    """Return the point (RFC 8032 §5.1.3), or ``None``."""
    p = _P25519
    if y >= p:
        return None
    square = (y * y - 1) * pow(_D25519 * y * y + 1, -1, p) % p
    x = pow(square, (p + 3) // 8, p)
    if x * x % p != square:
        x = x * pow(2, (p - 1) // 4, p) % p
    if x * x % p != square or (x == 0 and sign):
        return None
    return (p - x if x % 2 != sign else x), y


def _add(one: _Point, other: _Point) -> _Point:
    """Add two points of the curve -x² + y² = 1 + dx²y²; its formula has no exceptions."""
    p = _P25519
    (x1, y1), (x2, y2) = one, other
    product = _D25519 * x1 * x2 * y1 * y2 % p
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, p) % p
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, p) % p
    return x, y


_READERS: Mapping[str, Callable[[Mapping[str, Any]], PublicKey]] = {
    "EC": _read_ec,
    "RSA": _read_rsa,
    "OKP": _read_okp,
}
