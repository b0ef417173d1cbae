"""The decision: a pure function of the request, the snapshot and the time.

In order, each step only after the one before it held:

1. method, host and path in canonical form (``canonical``);
2. the route (``routes``); a request that none matches is denied;
3. the client certificate, where the route asks for one (``requirements``);
4. the credential: exactly one, from where the route looks for it (``credential``);
5. the token (``sidecar.tokens.verifier``);
6. what is revoked before its time, personal data in claims;
7. the tenant, the roles and the scopes that the route asks for (``requirements``).

A credential that is sent where one is optional must be good: a client that believes it
is signed in is told when it is not. Where none is asked for, none is read.

``decide`` and ``explain`` are the same walk; the second one keeps a record.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar.authz.canonical import canonical_host, canonical_path
from sidecar.authz.credential import find_token
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.requirements import check_client, check_grants, check_tenant
from sidecar.authz.routes import UNMATCHED, Route
from sidecar.errors import Denied
from sidecar.keys.lifecycle import KeyState
from sidecar.reasons import Grant, Reason
from sidecar.tokens.pii import Finding, PiiAction, find_pii
from sidecar.tokens.verifier import VerifiedToken, verify_token

_METHOD = re.compile(rb"[A-Z]{1,32}")
_DIGEST_DIGITS = 32


class Verdict(NamedTuple):
    """What one step of the walk came to."""

    step: str
    held: bool
    detail: str


Record = Callable[[Verdict], None]


class _Walk:
    """One request on its way through the steps, and what is known of it by now."""

    __slots__ = (
        "_now", "_record", "_snapshot", "_view",
        "host", "method", "path", "route", "token", "token_digest", "warnings",
    )  # fmt: skip

    def __init__(
        self, view: RequestView, snapshot: Snapshot, now: float, record: Record | None
    ) -> None:
        self._view = view
        self._snapshot = snapshot
        self._now = now
        self._record = record
        self.method = self.host = self.path = self.token_digest = ""
        self.route: Route | None = None
        self.token: VerifiedToken | None = None
        self.warnings: tuple[str, ...] = ()

    def run(self) -> Grant:
        """Walk; returns the ground on which the request passes, or raises ``Denied``."""
        self.method = self._step("method", canonical_method, self._view.method)
        self.host = self._step("host", canonical_host, self._view.host)
        self.path = self._step("path", canonical_path, self._view.path)
        self.route = route = self._step("route", self._match)
        if route.clients:
            self._step("client", check_client, self._view.principal, route.clients)
        if route.auth == "none":
            return Grant.CLIENT_VERIFIED if route.clients else Grant.PUBLIC
        raw = self._step("credential", self._find, route)
        if raw is None:
            return Grant.ANONYMOUS
        self.token_digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_DIGITS]
        self.token = token = self._step("token", self._verify, raw)
        self._step("revocation", self._snapshot.revocations.check, token.claims)
        self._step("personal data", self._check_pii, token)
        owner = self._snapshot.headers.domain_owners.get(self.host)
        self._step("tenant", check_tenant, token.claims, route, owner)
        self._step("roles and scopes", check_grants, token.claims, route)
        return Grant.TOKEN_VERIFIED

    def _step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._record is None:
            return function(*arguments)
        try:
            result = function(*arguments)
        except Denied as denied:
            self._record(Verdict(name, False, str(denied)))
            raise
        shown = result.name if isinstance(result, Route) else result
        self._record(Verdict(name, True, shown if isinstance(shown, str) else ""))
        return result

    def _match(self) -> Route:
        route = self._snapshot.routes.match(self.method, self.host, self.path)
        if route is None:
            raise Denied(Reason.ROUTE_UNKNOWN, "no route matches this method, host and path")
        return route

    def _find(self, route: Route) -> bytes | None:
        limit = self._snapshot.tokens.max_token_bytes
        raw = find_token(self._view.headers, route.token_from, limit)
        if raw is None and route.auth == "required":
            raise Denied(Reason.TOKEN_MISSING, f"no credential in {', '.join(route.token_from)}")
        return raw

    def _verify(self, raw: bytes) -> VerifiedToken:
        snapshot = self._snapshot
        if not len(snapshot.ring):
            raise Denied(Reason.KEYS_UNAVAILABLE, "no verification key is loaded")
        if snapshot.refuse_degraded and snapshot.key_state is KeyState.DEGRADED:
            raise Denied(Reason.KEYS_DEGRADED, "the keys are older than keys.max_age_seconds")
        return verify_token(raw, snapshot.ring, snapshot.tokens, self._now)

    def _check_pii(self, token: VerifiedToken) -> None:
        snapshot = self._snapshot
        if snapshot.pii_names is PiiAction.OFF and snapshot.pii_values is PiiAction.OFF:
            return
        warnings: list[str] = []
        for finding in find_pii(token.payload):
            match self._action_on(finding):
                case PiiAction.DENY:
                    raise Denied(Reason.PII_IN_TOKEN, str(finding))
                case PiiAction.WARN:
                    warnings.append(str(finding))
        self.warnings = tuple(warnings)

    def _action_on(self, finding: Finding) -> PiiAction:
        return self._snapshot.pii_names if finding.by == "name" else self._snapshot.pii_values


def decide(
    view: RequestView, snapshot: Snapshot, now: float, record: Record | None = None
) -> Decision:
    """Decide one request at ``now`` (Unix seconds). Raises nothing: a refusal is a value."""
    walk = _Walk(view, snapshot, now, record)
    outcome: Reason | Grant
    detail, shadowed = "", None
    try:
        outcome = walk.run()
    except Denied as denied:
        outcome, detail = denied.reason, denied.detail
        if walk.route is not None and walk.route.shadow:
            outcome, shadowed = Grant.SHADOW, denied.reason
    trusted = outcome is Grant.TOKEN_VERIFIED
    return Decision(
        outcome=outcome,
        detail=detail,
        route=walk.route.name if walk.route is not None else UNMATCHED,
        method=walk.method,
        host=walk.host,
        path=walk.path,
        csp=walk.route.csp if walk.route is not None else "",
        token=walk.token if trusted else None,
        token_digest=walk.token_digest,
        warnings=walk.warnings,
        shadowed=shadowed,
    )


def explain(
    view: RequestView, snapshot: Snapshot, now: float
) -> tuple[Decision, tuple[Verdict, ...]]:
    """Decide, and return each step's verdict beside the decision."""
    verdicts: list[Verdict] = []
    decision = decide(view, snapshot, now, verdicts.append)
    return decision, tuple(verdicts)


def canonical_method(raw: bytes) -> str:
    """Accept a method in the letters of every registered one (RFC 9110 §9.1)."""
    if not raw:
        hint = "no method came; allow ':method' where ext_authz has allowed_headers"
        raise Denied(Reason.REQUEST_MALFORMED, hint)
    if not _METHOD.fullmatch(raw):
        raise Denied(Reason.REQUEST_MALFORMED, "the method is not one to thirty-two capitals")
    return raw.decode("ascii")
