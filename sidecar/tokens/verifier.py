"""The rules of a valid access token, in one file, without I/O.

The order matters: no step runs before the earlier ones succeeded:

1. the size, before anything is parsed (SECURITY-MODEL §3: 8 KB);
2. three segments of strict base64url (RFC 7515 §3.1);
3. the JOSE header, by allow-list. Its ``kid`` looks up keys, and nothing else in it picks one:
   a key is bound to one issuer and one algorithm, ``alg`` must name that algorithm, and ``typ``
   and every other parameter must be allowed by the rules of that issuer. Parameters that contain
   or point to a key, or change what is signed, are never followed (RFC 8725 §3.1, §3.10, §3.11);
4. the signature, by the algorithm of the key (``sidecar.tokens.algorithms``);
5. the claims, read strictly and checked against the policy of the issuer to which the key
   is bound (``sidecar.tokens.claims``; ``sidecar.tokens.plain`` on the fast path).
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature

from sidecar.common.base64url import encode_base64url
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims, check_claims, read_claims
from sidecar.tokens.keyring import MAX_KID_LENGTH, KeyRing, VerificationKey
from sidecar.tokens.kinds import is_refresh
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.policy import ABSENT_TYPE, IssuerPolicy, TokenPolicy
from sidecar.tokens.strict import decode_base64url, decode_json_object

_SEGMENTS = 3
_MAX_CACHED_HEADER = 512
_STANDARD_PARAMETERS = frozenset({"alg", "typ", "kid"})
DERIVED_ID_PREFIX = "sha256:"
"""What begins the id of a token that has none of its own."""


class VerifiedToken(msgspec.Struct, frozen=True, gc=False):
    """A token that meets every rule, and the key that verified it.

    ``payload`` is the whole JSON object, for rules about other claims; ``None`` where the
    claims were read as plain (``sidecar.tokens.plain``) and those rules need nothing more.
    """

    claims: Claims
    key: VerificationKey
    payload: dict[str, Any] | None
    header: "JoseHeader"
    rules: IssuerPolicy
    """The rules by which it was read, those of its key's issuer."""
    size: int
    """How many bytes it has."""

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
        return VerifiedToken(claims, self.key, None, self.header, self.rules, self.size)

    @property
    def kid(self) -> str:
        """The kid of the key that verified."""
        return self.key.kid


@lru_cache(maxsize=4096)
def _shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return one object for equal tuples: few audiences and sets of roles serve many tokens."""
    return texts


class JoseHeader(NamedTuple):
    """A JOSE header that was read, and not judged yet: whose tokens may have it is asked later."""

    alg: str
    typ: str
    """In lower case; empty where the header has none."""
    kid: str
    others: frozenset[str]
    """The names of the parameters that are not ``alg``, ``typ`` and ``kid``."""


class ClaimsDenied(Denied):
    """A token is genuine and its claims were read, but a rule of ``claims.RULES`` denies it."""

    __slots__ = ("token",)

    def __init__(self, denied: Denied, token: VerifiedToken) -> None:
        super().__init__(denied.reason, denied.detail)
        self.token = token


def verify_token(
    token: bytes, ring: KeyRing, policy: TokenPolicy, now: float, *, keep_payload: bool = True
) -> VerifiedToken:
    """Verify one access token in compact serialisation at ``now`` (Unix seconds).

    Without ``keep_payload`` an ordinary token's claims are read on the fast path
    (``sidecar.tokens.plain``). Raises ``Denied`` with the first rule that is violated, and
    ``ClaimsDenied`` where that is one about claims that were read.
    """
    if len(token) > policy.max_token_bytes:
        raise Denied(
            Reason.TOKEN_TOO_LARGE,
            f"{len(token)} bytes, the limit is {policy.max_token_bytes}",
        )
    head, body, signature = _split(token)
    header = _read_header(head)
    signed = token[: len(head) + 1 + len(body)]
    keys = ring.find(header.kid)
    key, rules = _verify_signature(header, signature, signed, keys, policy)
    raw = decode_base64url(body, "the payload")
    if len(keys) > 1:
        key, rules = _of_named_issuer(raw, header, key, keys, policy)
    if not keep_payload:
        plain = read_plain_claims(raw, rules, key.issuer, now)
        if plain is not None:
            return VerifiedToken(_with_id(plain, signed), key, None, header, rules, len(token))
    payload, claims = _read_payload(raw, key, rules)
    claims = _with_id(claims, signed)
    verified = VerifiedToken(claims, key, payload, header, rules, len(token))
    try:
        check_claims(claims, rules, now)
    except Denied as denied:
        raise ClaimsDenied(denied, verified) from None
    return verified


def _split(token: bytes) -> list[bytes]:
    """Cut the compact serialisation; a token of ten thousand dots is cut four times."""
    segments = token.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise Denied(Reason.TOKEN_MALFORMED, "not three segments separated by dots")
    return segments


def _read_header(segment: bytes) -> JoseHeader:
    """Read the JOSE header.

    All tokens of a key have the same header, byte for byte; one that was read is cached. What is
    cached says nothing of what is allowed: that depends on the key's issuer.
    """
    if len(segment) <= _MAX_CACHED_HEADER:
        return _read_cached_header(segment)
    return _parse_header(segment)


@lru_cache(maxsize=512)
def _read_cached_header(segment: bytes) -> JoseHeader:
    return _parse_header(segment)


def _parse_header(segment: bytes) -> JoseHeader:
    header = decode_json_object(decode_base64url(segment, "the header"), "the header")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", ABSENT_TYPE)
    if "typ" in header and not (isinstance(typ, str) and typ):
        typ = "?"  # something that names no type is not an absent one
    return JoseHeader(
        alg if isinstance(alg, str) else "",
        typ.lower(),
        kid if isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH else "",
        frozenset(header.keys() - _STANDARD_PARAMETERS),
    )


def _verify_signature(
    header: JoseHeader,
    segment: bytes,
    signed: bytes,
    keys: tuple[VerificationKey, ...],
    policy: TokenPolicy,
) -> tuple[VerificationKey, IssuerPolicy]:
    """Return the key under which the signature verifies, and the rules of its issuer."""
    signature: bytes | None = None
    for key, rules in keys_for(header, keys, policy):
        if signature is None:
            signature = decode_base64url(segment, "the signature")
        try:
            key.algorithm.verify(key.public, signature, signed)
        except InvalidSignature:
            continue
        return key, rules
    raise Denied(Reason.SIGNATURE_INVALID, "the signature does not verify under the kid's key")


def keys_for(
    header: JoseHeader, keys: tuple[VerificationKey, ...], policy: TokenPolicy
) -> list[tuple[VerificationKey, IssuerPolicy]]:
    """Return which of a ``kid``'s keys may verify a token with this header, and by which rules.

    At least one; raises ``Denied`` where there is none.
    """
    found = [
        (key, rules)
        for key in keys
        if (rules := policy.of(key.issuer)) is not None and _allows(header, key, rules)
    ]
    if not found:
        raise _why_not(header, keys, policy)
    return found


def _allows(header: JoseHeader, key: VerificationKey, rules: IssuerPolicy) -> bool:
    """Return whether a key may verify a token with this header, by the rules of its issuer."""
    return (
        header.alg == key.algorithm.name
        and header.typ in rules.types
        and header.others <= rules.tolerated
    )


def _of_named_issuer(
    raw: bytes,
    header: JoseHeader,
    verified: VerificationKey,
    keys: tuple[VerificationKey, ...],
    policy: TokenPolicy,
) -> tuple[VerificationKey, IssuerPolicy]:
    """Return the key of the issuer that the token names, among those that are the same key.

    Issuers of one provider may publish one key set, such as the tenants of Entra. Which of them
    issued a token only its payload says, which is read here after its signature was verified:
    with that key, so that every one of them may have signed it.
    """
    twins = [
        key for key in keys if key.algorithm is verified.algorithm and key.public == verified.public
    ]
    if len(twins) > 1:
        issuer = decode_json_object(raw, "the payload").get("iss")
        named = next((key for key in twins if key.issuer == issuer), verified)
    else:
        named = verified
    rules = policy.of(named.issuer)
    if rules is None or not _allows(header, named, rules):
        raise _why_not(header, (named,), policy)
    return named, rules


def _why_not(header: JoseHeader, keys: tuple[VerificationKey, ...], policy: TokenPolicy) -> Denied:
    """Return why no key of this ``kid`` is for a token with this header.

    The rules that are named are those of the key's issuer; where no key has the ``kid``, or
    several issuers have one, those of any of them.
    """
    found = [rules for rules in _rules_of(keys, policy) if rules is not None]
    if keys and not found:
        return Denied(Reason.ISSUER_MISMATCH, "the issuer of the token's key is not configured")
    names = {key.algorithm.name for key in keys} or policy.algorithms
    if header.alg not in names:
        return Denied(
            Reason.ALGORITHM_NOT_ALLOWED, f"only {' or '.join(sorted(names))} is accepted"
        )
    if not any(header.others <= rules.tolerated for rules in found):
        allowed = sorted(_STANDARD_PARAMETERS.union(*(rules.tolerated for rules in found)))
        extra = len(header.others.difference(allowed))
        return Denied(
            Reason.HEADER_PARAMETER_NOT_ALLOWED,
            f"{extra} parameter(s) other than {', '.join(allowed)}",
        )
    if not any(header.typ in rules.types for rules in found):
        return _type_not_allowed(header.typ, found)
    return Denied(
        Reason.KEY_UNKNOWN,
        "no key with this kid is in the key ring for such a header"
        if header.kid
        else "the header names no kid",
    )


def _type_not_allowed(typ: str, found: list[IssuerPolicy]) -> Denied:
    """Return the denial of a ``typ`` of none of these issuers (RFC 8725 §3.11, RFC 9068 §4)."""
    if is_refresh(typ):
        return Denied(Reason.REFRESH_TOKEN_PRESENTED, "the header's typ names a refresh token")
    return Denied(Reason.TOKEN_TYPE_NOT_ALLOWED, f"typ must be {_types_of(found)}")


def _rules_of(
    keys: tuple[VerificationKey, ...], policy: TokenPolicy
) -> Iterator[IssuerPolicy | None]:
    if keys:
        yield from (policy.of(key.issuer) for key in keys)
    else:
        yield from policy.issuers.values()
        yield policy.others


def _types_of(found: list[IssuerPolicy]) -> str:
    types = frozenset[str]().union(*(rules.types for rules in found))
    shown = {"jwt": "JWT", "at+jwt": "at+jwt", ABSENT_TYPE: "absent"}
    return " or ".join(text for name, text in shown.items() if name in types)


def _read_payload(
    raw: bytes, key: VerificationKey, rules: IssuerPolicy
) -> tuple[dict[str, Any], Claims]:
    """Return the payload and its claims; they must name the key's issuer."""
    payload = decode_json_object(raw, "the payload")
    claims = read_claims(payload, rules)
    if key.issuer is not None and claims.issuer != key.issuer:
        raise Denied(Reason.ISSUER_MISMATCH, "claim 'iss' is not the issuer of the token's key")
    return payload, claims


def _with_id(claims: Claims, signed: bytes) -> Claims:
    """Give a token without an id of its own the one that is derived from it."""
    if claims.token_id:
        return claims
    return msgspec.structs.replace(claims, token_id=derived_id(signed))


def derived_id(signed: bytes) -> str:
    """Return the id of a token that has none: the digest of what was signed.

    ``signed`` is header and payload with the dot between them. They have one spelling each, and
    the signature is left out: for every ECDSA signature there is a second one.
    """
    return DERIVED_ID_PREFIX + encode_base64url(hashlib.sha256(signed).digest())
