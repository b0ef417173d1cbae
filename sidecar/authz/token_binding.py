"""Whether a token is its sender's: what its ``cnf`` asks for, proved by this request.

A token with ``cnf`` passes only on a route that names its method (``routes[].binding``), and only
with the proof: a DPoP proof for this request (RFC 9449), the client certificate that it is bound
to (RFC 8705), or both. The certificate is the one that Envoy's TLS saw, never a header's. It is
never a plain bearer token, on no route. A route that requires binding denies every other token.
"""

from typing import NamedTuple

from sidecar.authz.requirements import load
from sidecar.authz.routes import CERTIFICATE, DPOP, Route
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.confirmation import Confirmation
from sidecar.tokens.dpop import DpopRules, ProvedRequest, check_proof, token_hash
from sidecar.tokens.proofs import ProofGuard
from sidecar.tokens.replays import ProofUse

DPOP_HEADER = "dpop"
NONCE_FIELD = "dpop-nonce"


class Presented(NamedTuple):
    """A request and the token it presents. ``method``, ``host`` and ``path`` are canonical."""

    method: str
    host: str
    path: str
    token: bytes
    header: bytes | None
    """Its ``DPoP`` header."""


def check_method(confirmation: Confirmation | None, route: Route, *, is_dpop: bool) -> None:
    """Check that the route takes a token bound like this, sent under this scheme.

    Raises ``Denied`` with ``token_bound`` or ``token_not_bound``.
    """
    jkt, certificate = confirmation or Confirmation()
    if confirmation is None and route.binding_required:
        raise Denied(Reason.TOKEN_NOT_BOUND, "the route requires binding; the token has no cnf")
    for thumbprint, method in ((jkt, DPOP), (certificate, CERTIFICATE)):
        if thumbprint and method not in route.bound_by:
            raise Denied(
                Reason.TOKEN_BOUND,
                f"the token is bound by {method}, which the route does not take "
                "(routes[].binding.by)",
            )
    if jkt and not is_dpop:
        raise Denied(Reason.TOKEN_BOUND, "a token that is bound by dpop was sent as Bearer")
    if is_dpop and not jkt:
        raise Denied(
            Reason.TOKEN_NOT_BOUND, "the scheme is DPoP; the token's cnf has no jkt (RFC 9449 §7.1)"
        )


def check_certificate(certificate: str, thumbprint: str) -> None:
    """Require the certificate of the client's TLS connection to be the token's (RFC 8705 §3).

    ``certificate`` is URL-encoded PEM, of Envoy's attributes.
    """
    if not certificate:
        raise Denied(
            Reason.CERTIFICATE_MISMATCH,
            "the token is bound to a certificate, and Envoy sent none of the client's: "
            "set include_peer_certificate in ext_authz",
        )
    found: str = load().thumbprint_of(certificate)
    if not found:
        raise Denied(Reason.CERTIFICATE_MISMATCH, "the client's certificate can't be read")
    if found != thumbprint:
        raise Denied(
            Reason.CERTIFICATE_MISMATCH, "the client's certificate is not the token's x5t#S256"
        )


def check_dpop(
    presented: Presented, jkt: str, rules: DpopRules, guard: ProofGuard | None, now: float
) -> str | None:
    """Check the request's DPoP proof, and that it was not used before; now it is used.

    Return the nonce to offer in the answer, where there is a newer one than the proof's. Without
    a ``guard`` nothing is remembered and no nonce is known: for explanations.
    """
    request = ProvedRequest(
        presented.method, presented.host, presented.path, token_hash(presented.token), jkt
    )
    if guard is None:
        rules = rules._replace(require_nonce=False)
    nonces = None if guard is None else guard.nonces
    proof = check_proof(presented.header, request, rules, nonces, now)
    if guard is None:
        return None
    seen = guard.replays.remember(proof.digest, proof.ends_at, now)
    if seen is ProofUse.REPLAYED:
        raise Denied(Reason.DPOP_PROOF_REPLAYED, "its jti was used before")
    if seen is ProofUse.FULL:
        raise Denied(
            Reason.DPOP_BUSY,
            "the table of proofs has no room (tokens.dpop.replay_entries), or its lock was held",
        )
    current = guard.nonces.current(rules.nonce_seconds, now) if rules.require_nonce else None
    return current if proof.nonce != current else None
