"""A DPoP proof: that who sends a token holds the key that the token is bound to (RFC 9449).

The rules are those of §4.3 and §7.1, in one file and without I/O. No step runs before the earlier
ones succeeded:

1. exactly one proof, of bounded size, of three segments of strict base64url;
2. the JOSE header: ``typ`` is ``dpop+jwt``, ``alg`` one of the configured list, ``jwk`` a public
   key of that algorithm; nothing that changes what is signed (``crit``, ``b64``);
3. the thumbprint of that key is the token's ``cnf.jkt``: before the signature, as it is cheaper;
4. the signature, by that key;
5. the claims: ``htm`` and ``htu`` are the request's, ``ath`` is the token's hash, ``iat`` lies in
   the window, ``nonce`` is one of ours where one is required, and ``jti`` is there.

Whether ``jti`` was seen before is for ``replays`` to say.
"""

import re
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature

from sidecar.common.base64url import encode_base64url
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.dpop_keys import ProofKey, read_proof_key
from sidecar.tokens.dpop_nonces import NonceSource
from sidecar.tokens.strict import decode_base64url, decode_json_object

TYPE = "dpop+jwt"
MAX_PROOF_BYTES = 4096
MAX_JTI = 256
HTTPS_PORT = 443
_SEGMENTS = 3
_COMMA = b","
_CHANGES_WHAT_IS_SIGNED = frozenset({"crit", "b64"})
_HTU = re.compile(r"https://([^/?#@\\]+)(/[^?#]*)?", re.IGNORECASE)
_PORT = re.compile(r":([0-9]{1,5})$")
_MAX_HTU = 8192


class DpopRules(NamedTuple):
    """What proofs are accepted.

    A proof is accepted from ``iat`` - ``leeway_seconds`` until ``iat`` + ``max_age_seconds`` +
    ``leeway_seconds``. With ``require_nonce`` it must hold a nonce of ours that is not older than
    twice ``nonce_seconds``. ``ports`` are those by which clients reach Envoy: it takes the port off
    ``Host``, so a request does not say which it was.
    """

    algorithms: tuple[str, ...] = ("ES256",)
    max_age_seconds: float = 60.0
    leeway_seconds: float = 5.0
    require_nonce: bool = False
    nonce_seconds: float = 300.0
    ports: tuple[int, ...] = (HTTPS_PORT,)

    @property
    def names(self) -> str:
        """The value of ``algs`` in a challenge (§7.1)."""
        return " ".join(self.algorithms)


class ProvedRequest(NamedTuple):
    """The request that a proof must be for; host and path are canonical."""

    method: str
    host: str
    path: str
    ath: str
    """The SHA-256 of the token, in base64url."""
    jkt: str
    """The thumbprint of the key that the token is bound to."""


class Proof(NamedTuple):
    """A proof that meets every rule: what tells it from any other, and until when it holds."""

    digest: bytes
    """The SHA-256 of its key's thumbprint and its ``jti``."""
    ends_at: float
    """Unix seconds. It is denied by its age afterwards."""
    nonce: str | None
    """Its nonce, where one is required."""


def token_hash(token: bytes) -> str:
    """Return the ``ath`` of a token (§4.2)."""
    return encode_base64url(sha256(token).digest())


def port_of(authority: str) -> int:
    """Return the port that an authority names, or that of HTTPS."""
    found = _PORT.search(authority)
    return int(found[1]) if found else HTTPS_PORT


def check_proof(
    header: bytes | None,
    request: ProvedRequest,
    rules: DpopRules,
    nonces: NonceSource | None,
    now: float,
) -> Proof:
    """Check the ``DPoP`` header of a request at ``now`` (Unix seconds).

    Where a nonce is required and there are no ``nonces``, none is ours.
    Raises ``Denied`` with the first rule that is violated: ``dpop_proof_missing``,
    ``dpop_proof_invalid``, ``dpop_proof_mismatch``, ``dpop_proof_expired`` or
    ``dpop_nonce_required``.
    """
    signing_input, signature, jose, payload = _read(header)
    key = _read_header(jose, rules)
    if key.thumbprint != request.jkt:
        raise _mismatch("its key is not the one that the token is bound to")
    try:
        key.verify(signature, signing_input)
    except (InvalidSignature, Denied):
        raise _invalid("its signature does not verify under its own key") from None
    claims = decode_json_object(payload, "the proof's payload")
    return _check_claims(claims, request, rules, nonces, now)


def _read(header: bytes | None) -> tuple[bytes, bytes, dict[str, Any], bytes]:
    """Cut and decode one proof. Raises ``Denied``."""
    if not header:
        raise Denied(
            Reason.DPOP_PROOF_MISSING,
            "the Check has no DPoP header; if the client sent it, add it to ext_authz's "
            "allowed_headers in Envoy",
        )
    if len(header) > MAX_PROOF_BYTES:
        raise _invalid(f"it has {len(header)} bytes, the limit is {MAX_PROOF_BYTES}")
    if _COMMA in header:
        raise _invalid("there is more than one")
    segments = header.strip(b" \t").split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise _invalid("it is not three segments separated by dots")
    try:
        raw = [decode_base64url(each, "a segment") for each in segments]
        jose = decode_json_object(raw[0], "the header")
        decode_json_object(raw[1], "the payload")
    except Denied as denied:
        raise _invalid(denied.detail) from None
    return b".".join(segments[:2]), raw[2], jose, raw[1]


def _read_header(jose: dict[str, Any], rules: DpopRules) -> ProofKey:
    """Check the JOSE header; return the key in it."""
    kind = jose.get("typ")
    if not isinstance(kind, str) or kind.lower() not in {TYPE, f"application/{TYPE}"}:
        raise _invalid(f"its typ is not {TYPE}")
    name = jose.get("alg")
    if not isinstance(name, str) or name not in rules.algorithms:
        raise _invalid(f"its alg is not one of {', '.join(rules.algorithms)}")
    if not jose.keys().isdisjoint(_CHANGES_WHAT_IS_SIGNED):
        raise _invalid("its header has crit or b64")
    jwk = jose.get("jwk")
    if not isinstance(jwk, dict):
        raise _invalid("its header has no jwk")
    return read_proof_key(jwk, name)


def _check_claims(
    claims: dict[str, Any],
    request: ProvedRequest,
    rules: DpopRules,
    nonces: NonceSource | None,
    now: float,
) -> Proof:
    if claims.get("htm") != request.method:
        raise _mismatch("its htm is not the request's method")
    _check_target(claims.get("htu"), request, rules)
    if claims.get("ath") != request.ath:
        raise _mismatch("its ath is not the hash of the token")
    issued_at = claims.get("iat")
    if isinstance(issued_at, bool) or not isinstance(issued_at, int | float):
        raise _invalid("its iat is not a number of seconds")
    # The other way round NaN would pass; JSON has none, and nothing here relies on that.
    ends_at = issued_at + rules.max_age_seconds + rules.leeway_seconds
    if not issued_at - rules.leeway_seconds <= now < ends_at:
        raise Denied(
            Reason.DPOP_PROOF_EXPIRED,
            f"its iat is more than {rules.max_age_seconds:g} s ago, or ahead, with "
            f"{rules.leeway_seconds:g} s of leeway",
        )
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
        raise _invalid(f"its jti is not a text of 1 to {MAX_JTI} characters")
    nonce = _check_nonce(claims.get("nonce"), rules, nonces, now) if rules.require_nonce else None
    raw = f"{request.jkt}.{jti}".encode("utf-8", "surrogatepass")
    return Proof(sha256(raw).digest(), ends_at, nonce)


def _check_nonce(nonce: object, rules: DpopRules, nonces: NonceSource | None, now: float) -> str:
    """Return the nonce of a proof, which must be one of ours that still holds (§8)."""
    ours = "" if nonces is None or not isinstance(nonce, str) else nonce
    if nonces is not None and nonces.is_ours(ours, rules.nonce_seconds, now):
        return ours
    raise Denied(Reason.DPOP_NONCE_REQUIRED, "the DPoP proof: it has no nonce that still holds")


def _check_target(htu: object, request: ProvedRequest, rules: DpopRules) -> None:
    """Compare ``htu`` with the request's target, both in canonical form (§4.3, RFC 3986 §6.2).

    Only ``https`` is a target: what reaches Envoy in the clear was HTTPS before it, or must not
    carry a token. A query or fragment is none of ``htu`` (§4.2).
    """
    found = _HTU.fullmatch(htu) if isinstance(htu, str) and len(htu) <= _MAX_HTU else None
    if found is None:
        raise _mismatch("its htu is not an https URL without query, fragment and user")
    authority, path = found[1], found[2] or "/"
    try:
        host = canonical_host(authority.encode("ascii"))
        path = canonical_path(path.encode("ascii"))
    except (Denied, UnicodeEncodeError):
        raise _mismatch("its htu has no one reading") from None
    if host != request.host:
        raise _mismatch("its htu names another host")
    if port_of(authority) not in rules.ports:
        raise _mismatch("its htu names a port that is not one of tokens.dpop.ports")
    if path != request.path:
        raise _mismatch("its htu names another path")


def _invalid(detail: str) -> Denied:
    return Denied(Reason.DPOP_PROOF_INVALID, f"the DPoP proof: {detail}")


def _mismatch(detail: str) -> Denied:
    return Denied(Reason.DPOP_PROOF_MISMATCH, f"the DPoP proof: {detail}")
