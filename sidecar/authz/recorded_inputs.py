"""The inputs of a decision, as the audit log records them (``audit.record_inputs``).

A token has its claims here once its signature and its claims were verified, whatever the decision
was: so a request that lacked a role can be decided again. A token that fails before that is not
believed, and nothing of it is recorded.
"""

from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace

from sidecar.authz.credential import HEADER, Credential, place_of
from sidecar.authz.decision import RequestView
from sidecar.authz.method import OPTIONS
from sidecar.authz.requirements import client_names
from sidecar.authz.routes import CERTIFICATE, DPOP, Route
from sidecar.common.reasons import Reason
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.tokens.dpop import DpopRules
from sidecar.tokens.policy import ClaimReading
from sidecar.tokens.verifier import VerifiedToken

_ANNOUNCED = "access-control-request-method"


_UNREADABLE = frozenset(
    {Reason.TOKEN_AMBIGUOUS, Reason.TOKEN_SCHEME_UNSUPPORTED, Reason.TOKEN_TOO_LARGE}
)
"""Reasons of a credential that was not taken from where it was."""


class Decided(NamedTuple):
    """How a request was decided, and by which rules: of DPoP proofs, a digest of all of tokens."""

    reason: str
    dpop: DpopRules
    rules: str


def token_inputs(token: VerifiedToken) -> RecordedInputs:
    """Return what is recorded of a token from the header; nothing where nothing is recorded."""
    reading = token.rules.recorded
    return NO_INPUTS if reading is None else _inputs_of(token, reading)


def request_inputs(
    view: RequestView,
    route: Route | None,
    token: VerifiedToken | None,
    found: Credential | None,
    decided: Decided,
) -> RecordedInputs:
    """Return what is recorded of a request: of its token, and where that was looked for.

    A request without one, on a route that reads the header alone, says nothing.
    """
    inputs = NO_INPUTS if token is None else token_inputs(token)
    if view.method == OPTIONS:
        inputs = replace(inputs, origin=_text(view, "origin"), announced=_text(view, _ANNOUNCED))
    if view.certificate and route is not None and (route.clients or CERTIFICATE in route.bound_by):
        inputs = replace(inputs, peer=client_names(view.certificate))
    if route is None or route.auth == "none":
        return inputs
    if decided.reason in _UNREADABLE and found is None:
        return replace(inputs, searched=route.token_from, rules=decided.rules)
    if found is None:
        return inputs
    has_failed = token is None and found.token is not None
    place = "" if found.token is None else place_of(view.headers, route.places)
    return replace(
        inputs,
        place="" if place == HEADER and token is not None else place,
        searched=() if route.token_from == (HEADER,) else route.token_from,
        dpop=proof_digest(decided.dpop) if found.is_dpop else "",
        rules=decided.rules if has_failed else "",
        in_query=found.in_query,
    )


@lru_cache(maxsize=4)
def proof_digest(rules: DpopRules) -> str:
    """Return a digest of the rules of DPoP proofs, for a comparison with others."""
    return sha256(repr(rules).encode()).hexdigest()[:12]


def _inputs_of(token: VerifiedToken, reading: ClaimReading) -> RecordedInputs:
    claims, header = token.claims, token.header
    jkt, certificate = claims.confirmation or ("", "")
    return RecordedInputs(
        iss=claims.issuer,
        alg=header.alg,
        typ=header.typ,
        params=tuple(sorted(header.others)),
        aud=claims.audience,
        iat=_whole(claims.issued_at),
        nbf=0 if claims.not_before == claims.issued_at else _whole(claims.not_before),
        exp=_whole(claims.expires_at),
        roles=claims.roles,
        scopes=claims.scopes,
        size=token.size,
        cnf=(*((DPOP,) if jkt else ()), *((CERTIFICATE,) if certificate else ())),
        reading=reading.of_tenant(claims.tenant_id),
        required=reading.required,
        unsought=reading.unsought,
    )


def _text(view: RequestView, name: str) -> str:
    return view.headers.get(name, b"").decode("utf-8", "replace")


def _whole(seconds: float) -> float:
    """Return a time without a fraction as an integer, which is shorter in JSON."""
    return int(seconds) if seconds == int(seconds) else seconds
