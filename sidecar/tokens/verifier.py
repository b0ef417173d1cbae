"""The rules of a valid access token, in one file, without I/O.

The order matters: no step runs before the earlier ones succeeded:

1. the size, before anything is parsed (SECURITY-MODEL §3: 8 KB);
2. three segments of strict base64url (RFC 7515 §3.1);
3. the JOSE header, by allow-list: ``alg`` must be ES256, ``typ`` explicit and ``kid`` in the
   ring; parameters that contain or point to a key, or change what is signed, are denied and
   never followed (RFC 8725 §3.1, §3.10, §3.11);
4. the signature: 64 bytes, r and s in range, by the key of that ``kid``
   (RFC 7518 §3.4; CVE-2022-21449 is what happens without the range check);
5. the claims, read strictly and checked against the policy of the issuer to which the key
   is bound (``sidecar.tokens.claims``; ``sidecar.tokens.plain`` for ordinary ones).
"""

from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.algorithms import ES256
from sidecar.tokens.claims import Claims, ClaimsPolicy, check_claims, read_claims
from sidecar.tokens.keyring import MAX_KID_LENGTH, KeyRing, VerificationKey
from sidecar.tokens.kinds import is_refresh
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.strict import decode_base64url, decode_json_object

ALGORITHM = "ES256"
MAX_TOKEN_BYTES = 8192
_SEGMENTS = 3
_MAX_CACHED_HEADER = 512
_ALLOWED_PARAMETERS = frozenset({"alg", "typ", "kid"})
_ALLOWED_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class TokenPolicy(msgspec.Struct, frozen=True):
    """The limits of ``verify_token``; the defaults are the security model's."""

    claims: ClaimsPolicy = ClaimsPolicy()
    max_token_bytes: int = MAX_TOKEN_BYTES


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """A token that meets every rule, and the key that verified it.

    ``payload`` is the whole JSON object, for rules about other claims; ``None`` where the
    claims were read as plain (``sidecar.tokens.plain``) and those rules need nothing more.
    """

    claims: Claims
    key: VerificationKey
    payload: dict[str, Any] | None

    def slimmed(self) -> "VerifiedToken":
        """Return the token without its payload, sharing equal tuples with other tokens."""
        if self.payload is None:
            return self
        claims = msgspec.structs.replace(
            self.claims,
            issuer=self.key.issuer or self.claims.issuer,
            audience=_shared(self.claims.audience),
            roles=_shared(self.claims.roles),
            scopes=_shared(self.claims.scopes),
        )
        return VerifiedToken(claims, self.key, None)

    @property
    def kid(self) -> str:
        """The kid of the key that verified."""
        return self.key.kid


@lru_cache(maxsize=4096)
def _shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return one object for equal tuples: few audiences and sets of roles serve many tokens."""
    return texts


def verify_token(
    token: bytes, ring: KeyRing, policy: TokenPolicy, now: float, *, keep_payload: bool = True
) -> VerifiedToken:
    """Verify one access token in compact serialisation at ``now`` (Unix seconds).

    Without ``keep_payload`` an ordinary token's claims are read on the fast path
    (``sidecar.tokens.plain``). Raises ``Denied`` with the first rule that is violated.
    """
    if len(token) > policy.max_token_bytes:
        raise Denied(
            Reason.TOKEN_TOO_LARGE,
            f"{len(token)} bytes, the limit is {policy.max_token_bytes}",
        )
    header, payload, signature = _split(token)
    kid = _read_header(header)
    keys = ring.find(kid)
    if not keys:
        raise Denied(Reason.KEY_UNKNOWN, "no key with this kid is in the key ring")
    key = _verify_signature(token[: len(header) + 1 + len(payload)], signature, keys)
    raw = decode_base64url(payload, "the payload")
    if not keep_payload:
        plain = read_plain_claims(raw, policy.claims, key.issuer, now)
        if plain is not None:
            return VerifiedToken(plain, key, None)
    return _accept_payload(raw, key, policy, now)


def _split(token: bytes) -> list[bytes]:
    """Cut the compact serialisation; a token of ten thousand dots is cut four times."""
    segments = token.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise Denied(Reason.TOKEN_MALFORMED, "not three segments separated by dots")
    return segments


def _read_header(segment: bytes) -> str:
    """Check the JOSE header against the allow-list and return its ``kid``.

    All tokens of a key have the same header, byte for byte; a header that passed is cached.
    """
    if len(segment) <= _MAX_CACHED_HEADER:
        return _read_cached_header(segment)
    return _check_header(segment)


@lru_cache(maxsize=512)
def _read_cached_header(segment: bytes) -> str:
    return _check_header(segment)


def _check_header(segment: bytes) -> str:
    header = decode_json_object(decode_base64url(segment, "the header"), "the header")
    if header.get("alg") != ALGORITHM:
        raise Denied(Reason.ALGORITHM_NOT_ALLOWED, f"only {ALGORITHM} is accepted")
    if not header.keys() <= _ALLOWED_PARAMETERS:
        extra = len(header.keys() - _ALLOWED_PARAMETERS)
        raise Denied(
            Reason.HEADER_PARAMETER_NOT_ALLOWED,
            f"{extra} parameter(s) other than {', '.join(sorted(_ALLOWED_PARAMETERS))}",
        )
    _check_type(header.get("typ"))
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise Denied(Reason.KEY_UNKNOWN, "the header names no kid")
    return kid


def _check_type(kind: object) -> None:
    """Deny a ``typ`` that does not name an access token (RFC 8725 §3.11, RFC 9068 §4)."""
    lowered = kind.lower() if isinstance(kind, str) else ""
    if is_refresh(lowered):
        raise Denied(Reason.REFRESH_TOKEN_PRESENTED, "the header's typ names a refresh token")
    if lowered not in _ALLOWED_TYPES:
        raise Denied(Reason.TOKEN_TYPE_NOT_ALLOWED, "typ must be JWT or at+jwt")


def _verify_signature(
    signed: bytes, segment: bytes, keys: tuple[VerificationKey, ...]
) -> VerificationKey:
    """Return the key under which the signature verifies."""
    signature = decode_base64url(segment, "the signature")
    for key in keys:
        if key.algorithm is not ES256:
            continue
        try:
            key.algorithm.verify(key.public, signature, signed)
        except InvalidSignature:
            continue
        return key
    raise Denied(Reason.SIGNATURE_INVALID, "the signature does not verify under the kid's key")


def _accept_payload(
    raw: bytes, key: VerificationKey, policy: TokenPolicy, now: float
) -> VerifiedToken:
    """Read and check the claims; they must name the key's issuer."""
    payload = decode_json_object(raw, "the payload")
    claims = read_claims(payload, policy.claims)
    if key.issuer is not None and claims.issuer != key.issuer:
        raise Denied(Reason.ISSUER_MISMATCH, "claim 'iss' is not the issuer of the token's key")
    check_claims(claims, policy.claims, now)
    return VerifiedToken(claims=claims, key=key, payload=payload)
