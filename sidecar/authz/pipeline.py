"""The decision: a pure function of the request, the snapshot and the time.

In order, each step only after the one before it held:

1. method, host and path in canonical form (``canonical``);
2. the route (``routes``); a request that none matches is denied;
3. the credential: one ``Authorization`` header with one Bearer token (RFC 6750 §2.1);
4. the token (``sidecar.tokens.verifier``);
5. what is revoked before its time (``sidecar.tokens.revocation``).

A credential that is sent where one is optional must be good: a client that believes it
is signed in is told when it is not. Where none is asked for, none is read.
"""

import re

from sidecar.authz.canonical import canonical_host, canonical_path
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.routes import Route
from sidecar.errors import Denied
from sidecar.keys.lifecycle import KeyState
from sidecar.reasons import Grant, Reason
from sidecar.tokens.verifier import VerifiedToken, verify_token

_METHOD = re.compile(rb"[A-Z]{1,32}")
_SCHEME = b"bearer"


def decide(view: RequestView, snapshot: Snapshot, now: float) -> Decision:
    """Decide one request at ``now`` (Unix seconds). Raises nothing: a refusal is a value."""
    method = host = path = ""
    try:
        method = _canonical_method(view.method)
        host = canonical_host(view.host)
        path = canonical_path(view.path)
    except Denied as denied:
        return Decision(denied.reason, denied.detail, method=method, host=host, path=path)
    route = snapshot.routes.match(method, host, path)
    if route is None:
        detail = "no route matches this method, host and path"
        return Decision(Reason.ROUTE_UNKNOWN, detail, method=method, host=host, path=path)
    try:
        token, ground = _authenticate(view, route, snapshot, now)
    except Denied as denied:
        return Decision(denied.reason, denied.detail, route.name, method, host, path)
    return Decision(
        ground, route=route.name, method=method, host=host, path=path, csp=route.csp, token=token
    )


def _canonical_method(raw: bytes) -> str:
    """Accept a method in the letters of every registered one (RFC 9110 §9.1)."""
    if not raw:
        hint = "no method came; allow ':method' where ext_authz has allowed_headers"
        raise Denied(Reason.REQUEST_MALFORMED, hint)
    if not _METHOD.fullmatch(raw):
        raise Denied(Reason.REQUEST_MALFORMED, "the method is not one to thirty-two capitals")
    return raw.decode("ascii")


def _authenticate(
    view: RequestView, route: Route, snapshot: Snapshot, now: float
) -> tuple[VerifiedToken | None, Grant]:
    if route.auth == "none":
        return None, Grant.PUBLIC
    credential = view.headers.get("authorization")
    if credential is None:
        if route.auth == "optional":
            return None, Grant.ANONYMOUS
        raise Denied(Reason.TOKEN_MISSING, "no Authorization header")
    token = read_bearer(credential, snapshot.tokens.max_token_bytes)
    if not len(snapshot.ring):
        raise Denied(Reason.KEYS_UNAVAILABLE, "no verification key is loaded")
    if snapshot.refuse_degraded and snapshot.key_state is KeyState.DEGRADED:
        raise Denied(Reason.KEYS_DEGRADED, "the keys are older than keys.max_age_seconds")
    verified = verify_token(token, snapshot.ring, snapshot.tokens, now)
    snapshot.revocations.check(verified.claims)
    return verified, Grant.TOKEN_VERIFIED


def read_bearer(credential: bytes, max_token_bytes: int) -> bytes:
    """Return the token of an ``Authorization`` header's value.

    Raises ``Denied``: a comma means several headers or several credentials (neither a
    scheme nor a token may hold one), another scheme is not ours to judge, and the size
    is bounded here already so that nothing larger is copied.
    """
    scheme, _, token = credential.strip(b" \t").partition(b" ")
    if len(token) > max_token_bytes:
        raise Denied(Reason.TOKEN_TOO_LARGE, f"{len(token)} bytes, the limit is {max_token_bytes}")
    if b"," in credential:
        raise Denied(Reason.TOKEN_AMBIGUOUS, "more than one credential was sent")
    if scheme.lower() != _SCHEME:
        raise Denied(Reason.TOKEN_SCHEME_UNSUPPORTED, "the scheme is not Bearer")
    return token.lstrip(b" ")
