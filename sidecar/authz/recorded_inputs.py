"""The inputs of a decision, as the audit log records them (``audit.record_inputs``).

A token has its claims here once its signature and its claims were verified, whatever the decision
was: so a request that lacked a role can be decided again. A token that fails before that is not
believed, and nothing of it is recorded.
"""

from msgspec.structs import replace

from sidecar.authz.credential import HEADER, Credential, place_of
from sidecar.authz.decision import RequestView
from sidecar.authz.method import OPTIONS
from sidecar.authz.requirements import client_names
from sidecar.authz.routes import CERTIFICATE, DPOP, Route
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.tokens.policy import ClaimReading
from sidecar.tokens.verifier import VerifiedToken

_ANNOUNCED = "access-control-request-method"


def token_inputs(token: VerifiedToken) -> RecordedInputs:
    """Return what is recorded of a token from the header; nothing where nothing is recorded."""
    reading = token.rules.recorded
    return NO_INPUTS if reading is None else _inputs_of(token, reading)


def request_inputs(
    view: RequestView,
    route: Route | None,
    token: VerifiedToken | None,
    found: Credential | None,
) -> RecordedInputs:
    """Return what is recorded of a request: of its token, and where that was looked for."""
    inputs = NO_INPUTS if token is None else token_inputs(token)
    if view.method == OPTIONS:
        inputs = replace(inputs, origin=_text(view, "origin"), announced=_text(view, _ANNOUNCED))
    if view.certificate and route is not None and (route.clients or CERTIFICATE in route.bound_by):
        inputs = replace(inputs, peer=client_names(view.certificate))
    if route is None or route.auth == "none":
        return inputs
    searched = () if route.token_from == (HEADER,) else route.token_from
    if found is None:
        return replace(inputs, searched=searched) if searched else inputs
    place = "" if found.token is None else place_of(view.headers, route.places)
    return replace(
        inputs,
        place="" if place == HEADER else place,
        searched=searched,
        dpop=found.is_dpop,
        in_query=found.in_query,
    )


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
