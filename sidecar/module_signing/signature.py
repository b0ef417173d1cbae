"""The signature of a module's bundle: a JWS over its SHA-256, with the payload detached.

``<header>..<signature>``, the compact serialisation of RFC 7515 with nothing between the
dots (Appendix F). The header is exactly ``alg`` (ES256), ``typ`` (``module+jws``) and
``kid``; the payload is the 32 bytes of the bundle's SHA-256, which both sides compute
(SECURITY-MODEL §6). What follows from that:

- the ``kid`` is the key's RFC 7638 thumbprint and is itself signed, so a signature belongs
  to one key, and the publisher is the one that has registered that key;
- ``typ`` separates the uses of a key: an access token is not a signature of a bundle;
- the signature says who made a bundle, not when. A bundle that must not be installed any
  more is withdrawn by its digest (``publishers``).
"""

import json
from collections.abc import Callable
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from sidecar.common.base64url import encode_base64url
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.publishers import Publishers
from sidecar.tokens.jwk import thumbprint
from sidecar.tokens.strict import decode_base64url, decode_json_object

HEADER_NAME = "x-module-signature"
TYPE = "module+jws"
MAX_SIGNATURE_BYTES = 512
_ALGORITHM = "ES256"
_SIGNATURE_BYTES = 64
_MEMBERS = frozenset({"alg", "typ", "kid"})
_ES256 = ec.ECDSA(SHA256())
_HALF_BYTES = 32
T = TypeVar("T")


def sign_digest(digest: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """Return the signature of a bundle whose SHA-256 is ``digest`` (32 bytes)."""
    header = {"alg": _ALGORITHM, "kid": thumbprint(key.public_key()), "typ": TYPE}
    encoded = encode_base64url(json.dumps(header, separators=(",", ":")).encode())
    r, s = decode_dss_signature(key.sign(_signed(encoded.encode(), digest), _ES256))
    signature = r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")
    return f"{encoded}..{encode_base64url(signature)}"


def find_publisher(signature: bytes, digest: bytes, publishers: Publishers) -> str:
    """Return who has signed the bundle whose SHA-256 is ``digest``.

    Raises ``Denied`` for the first rule that it breaks: ``module_signature_malformed``,
    ``module_key_unknown``, ``module_signature_invalid``.
    """
    header, raw = _read(signature)
    kid = _read_header(header)
    key = publishers.find(kid)
    if key is None:
        raise Denied(Reason.MODULE_KEY_UNKNOWN, "no publisher has registered the key of this kid")
    if not _holds(key.public, raw, _signed(header, digest)):
        hint = "the signature does not verify over this bundle"
        raise Denied(Reason.MODULE_SIGNATURE_INVALID, hint)
    return key.publisher


def _holds(public: ec.EllipticCurvePublicKey, raw: bytes, signed: bytes) -> bool:
    """Verify r and s (RFC 7518 §3.4); OpenSSL refuses what is out of range."""
    r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF_BYTES], raw[_HALF_BYTES:]))
    try:
        public.verify(encode_dss_signature(r, s), signed, _ES256)
    except InvalidSignature:
        return False
    return True


def _read(signature: bytes) -> tuple[bytes, bytes]:
    """Split a signature at its dots; return the encoded header and the 64 bytes."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise _malformed(f"is longer than {MAX_SIGNATURE_BYTES} bytes")
    if b"," in signature:
        raise _malformed("came more than once")
    header, between, encoded = signature.partition(b"..")
    if not between or b"." in encoded:
        raise _malformed("is not <header>..<signature>")
    raw = _strictly(decode_base64url, encoded)
    if len(raw) != _SIGNATURE_BYTES:
        raise _malformed(f"is not {_SIGNATURE_BYTES} bytes, r and s")
    return header, raw


def _read_header(segment: bytes) -> str:
    """Check the protected header, and return its ``kid``."""
    header = _strictly(decode_json_object, _strictly(decode_base64url, segment))
    if header.keys() != _MEMBERS:
        raise _malformed(f"needs {', '.join(sorted(_MEMBERS))} in its header, and nothing else")
    if header["alg"] != _ALGORITHM or header["typ"] != TYPE:
        raise _malformed(f"is not of alg {_ALGORITHM} and typ {TYPE}")
    kid = header["kid"]
    if not isinstance(kid, str):
        raise _malformed("has a kid that is not text")
    return kid


def _strictly(decode: Callable[[bytes, str], T], raw: bytes) -> T:
    """Decode by the rules of tokens; a fault here is a malformed signature."""
    try:
        return decode(raw, "it")
    except Denied as denied:
        raise _malformed(f"can't be read: {denied.detail}") from None


def _malformed(what: str) -> Denied:
    return Denied(Reason.MODULE_SIGNATURE_MALFORMED, f"{HEADER_NAME} {what}")


def _signed(header: bytes, digest: bytes) -> bytes:
    """Return the JWS signing input (RFC 7515 §5.1)."""
    return header + b"." + encode_base64url(digest).encode()
