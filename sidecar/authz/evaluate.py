"""The decision: a pure function of the request, the snapshot and the time.

In order, each step only after the one before it held:

1. method, host and path in canonical form (``canonical``);
2. the route (``routes``); a request that none matches is denied, and one that a lenient
   server may take for a stricter route's;
3. the client certificate, where the route asks for one (``requirements``);
4. the credential: exactly one, from where the route looks for it, and none elsewhere
   (``credential``);
5. the token (``sidecar.tokens.verifier``);
6. personal data in claims, and what is revoked before its time;
7. the tenant, the roles and the scopes that the route asks for (``requirements``).

A preflight is answered after the second step, by the route of the request that it announces
(``preflight``).

A credential that is sent where one is optional must be good: a client that believes it
is signed in is told when it is not. Where none is asked for, none is read.

``decide`` and ``explain`` are the same walk; the second one keeps a record. With a memory
(``authz.memory``) a target that was matched before is not matched again, and a token that
was verified before is not verified again; every other step is taken as always, and the
decision is the same.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar.authz.credential import Credential, find_token, where_none_is
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.preflight import OPTIONS, match_preflight
from sidecar.authz.requirements import check_client, check_grants, check_tenant
from sidecar.authz.response_cache import ResolvedTarget, ResponseCache
from sidecar.authz.routes import UNMATCHED, Route
from sidecar.authz.streams import TIMEOUT_HEADER, stream_milliseconds
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.keys.lifecycle import KeyState
from sidecar.tokens.cache import CachedToken, digest_text
from sidecar.tokens.claims import validity
from sidecar.tokens.pii import PiiAction, PiiFinding, find_pii
from sidecar.tokens.verifier import VerifiedToken, verify_token

_METHOD = re.compile(rb"[A-Z]{1,32}")


class StepResult(NamedTuple):
    """What one step of the walk came to."""

    step: str
    held: bool
    detail: str


class VerificationDeferred(Exception):  # noqa: N818 - neither a refusal nor an error
    """This request needs a verification, and now is not the time for one."""


class _Evaluation:
    """One request on its way through the steps, and what is known of it by now.

    Every step is a method; ``_RecordedEvaluation`` wraps them, so that the walk that explains is
    the walk that decides, and the one that decides pays nothing for it.
    """

    def __init__(
        self,
        view: RequestView,
        snapshot: Snapshot,
        now: float,
        memory: ResponseCache | None = None,
        may_verify: Callable[[], bool] | None = None,
    ) -> None:
        self._view = view
        self._snapshot = snapshot
        self._now = now
        self._memory = memory
        self._may_verify = may_verify
        self.visit: ResolvedTarget | None = None
        self.remembered: CachedToken | None = None
        self.method = self.host = self.path = self.token_digest = ""
        self.route: Route | None = None
        self.token: VerifiedToken | None = None
        self.found: Credential | None = None
        self.warnings: tuple[str, ...] = ()

    def run(self) -> Grant:
        """Walk; returns the ground on which the request passes, or raises ``Denied``."""
        if self._view.method == OPTIONS and self.check_preflight():
            return Grant.PREFLIGHT
        route = self.find_route()
        if route.clients:
            self.check_client(route)
        if route.auth == "none":
            return Grant.CLIENT_VERIFIED if route.clients else Grant.PUBLIC
        raw = self.find_credential(route)
        if raw is None:
            return Grant.ANONYMOUS
        token = self.find_token(raw)
        self.check_revocation(token)
        self.check_tenant(token, route)
        self.check_grants(token, route)
        return Grant.TOKEN_VERIFIED

    def check_preflight(self) -> bool:
        """Tell whether this is a preflight for us to answer; refused if its origin is."""
        match = match_preflight(self._view, self._snapshot)
        if match is None:
            return False
        self.host, self.path, route = match
        self.method, self.route = "OPTIONS", route
        if not self.find_reader(route):
            raise Denied(Reason.ORIGIN_NOT_ALLOWED, f"headers.cors.{route.cors} admits it not")
        return True

    def find_reader(self, route: Route) -> str:
        """Return the origin whose pages may read the answer, ``*`` for all."""
        tenant_id = self.token.claims.tenant_id if self.token is not None else None
        origin = self._view.headers.get("origin", b"")
        return self._snapshot.headers.reader(route.cors, origin, self.host, tenant_id)

    def find_route(self) -> Route:
        """Return the route, from memory if this very target came before."""
        view, memory = self._view, self._memory
        target = (view.method, view.host, view.path.partition(b"?")[0])
        visit = memory.visits.get(target) if memory is not None else None
        if visit is None:
            self.method = self.read_method()
            self.host = self.read_host()
            self.path = self.read_path()
            route = self.route = self.match()
            # OPTIONS is what a preflight is too, and those are not told by their target alone.
            if memory is not None and view.method != OPTIONS:
                self.visit = memory.cache_target(target, self.method, self.host, self.path, route)
            return route
        self.visit = visit
        self.method, self.host, self.path = visit.method, visit.host, visit.path
        route = self.route = visit.place.route
        return route

    def read_method(self) -> str:
        """Bring the method into its one form."""
        return canonical_method(self._view.method)

    def read_host(self) -> str:
        """Bring the host into its one form."""
        return canonical_host(self._view.host)

    def read_path(self) -> str:
        """Bring the path into its one form."""
        return canonical_path(self._view.path)

    def match(self) -> Route:
        """Find the first route that matches, in a path that lenient servers read alike."""
        route = self._snapshot.routes.find(self.method, self.host, self.path)
        if route is None:
            raise Denied(Reason.ROUTE_UNKNOWN, "no route matches this method, host and path")
        return route

    def check_client(self, route: Route) -> None:
        """Hold the client's certificate against the route's list."""
        check_client(self._view.principal, self._view.certificate, route.clients)

    def find_credential(self, route: Route) -> bytes | None:
        """Return the one credential, or ``None`` where none is needed and none came."""
        view, limit = self._view, self._snapshot.tokens.max_token_bytes
        query = view.path.partition(b"?")[2]
        found = self.found = find_token(view.headers, query, route.places, limit)
        if found.token is None and route.auth == "required":
            where = where_none_is(view.headers, route.places)
            raise Denied(
                Reason.TOKEN_MISSING,
                f"{where}; the query has one, and is never read" if found.in_query else where,
            )
        if found.in_query:
            raise Denied(Reason.TOKEN_AMBIGUOUS, "the query has a token, and is never read")
        return found.token

    def find_token(self, raw: bytes) -> VerifiedToken:
        """Return the verified token, from the cache if these very bytes verified before."""
        snapshot = self._snapshot
        digest = hashlib.sha256(raw).digest()
        self.token_digest = digest_text(digest)
        if not snapshot.ring:
            raise Denied(Reason.KEYS_UNAVAILABLE, "no verification key is loaded")
        if snapshot.refuse_degraded:
            check_age(snapshot)
        tokens = self._memory.tokens if self._memory is not None else None
        if tokens is not None:
            known = tokens.get(digest, snapshot.ring, self._now)
            if known is not None:
                self.remembered = known
                self.token, self.warnings = known.token, known.warnings
                return known.token
            if self._may_verify is not None and not self._may_verify():
                raise VerificationDeferred
        whole = self.verify(raw)
        self.check_pii(whole)
        self.token = token = whole.slimmed()
        if tokens is not None:
            self.remembered = tokens.put(
                digest, token, self.warnings, snapshot.tokens.claims, self._now
            )
        return token

    def verify(self, raw: bytes) -> VerifiedToken:
        """Hold the token against every rule of ``sidecar.tokens.verifier``."""
        return verify_token(
            raw, self._snapshot.ring, self._snapshot.tokens, self._now, keep_payload=False
        )

    def check_pii(self, token: VerifiedToken) -> None:
        """Look for personal data in the claims."""
        snapshot = self._snapshot
        if token.payload is None:
            return
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

    def check_revocation(self, token: VerifiedToken) -> None:
        """Refuse what is revoked before its time."""
        self._snapshot.revocations.check(token.claims)

    def check_tenant(self, token: VerifiedToken, route: Route) -> None:
        """Hold the token's tenant against the route's and the host's."""
        owner = self._snapshot.headers.owner_of(self.host)
        if owner is not None or route.tenant is not None:
            check_tenant(token.claims, route, owner)

    def check_grants(self, token: VerifiedToken, route: Route) -> None:
        """Hold the token's roles and scopes against the route's."""
        if route.roles or route.scopes:
            check_grants(token.claims, route)

    def stream_milliseconds(self) -> int:
        """Return how long the stream may last; 0 where the route does not ask."""
        if self.route is None or self.token is None or not self.route.end_streams_with_token:
            return 0
        ends_at = validity(self.token.claims, self._snapshot.tokens.claims).ends_at
        asked = self._view.headers.get(TIMEOUT_HEADER, b"")
        return stream_milliseconds(ends_at, self._now, asked)

    def _action_on(self, finding: PiiFinding) -> PiiAction:
        return self._snapshot.pii_names if finding.by == "name" else self._snapshot.pii_values


_STEPS = {
    "read_method": "method",
    "read_host": "host",
    "read_path": "path",
    "match": "route",
    "check_preflight": "preflight",
    "check_client": "client",
    "find_credential": "credential",
    "verify": "token",
    "check_pii": "personal data",
    "check_revocation": "revocation",
    "check_tenant": "tenant",
    "check_grants": "roles and scopes",
}
"""The steps that are recorded, and what they are called for people."""


class _RecordedEvaluation(_Evaluation):
    """A walk that keeps each step's verdict. It remembers nothing, so that every step runs."""

    def __init__(self, view: RequestView, snapshot: Snapshot, now: float) -> None:
        super().__init__(view, snapshot, now)
        self.verdicts: list[StepResult] = []
        for method, step in _STEPS.items():
            setattr(self, method, self._recorded(step, getattr(self, method)))

    def _recorded(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            try:
                result = function(*arguments)
            except Denied as denied:
                self.verdicts.append(StepResult(step, False, str(denied)))
                raise
            shown = result.name if isinstance(result, Route) else result
            self.verdicts.append(StepResult(step, True, shown if isinstance(shown, str) else ""))
            return result

        return run


def decide(
    view: RequestView,
    snapshot: Snapshot,
    now: float,
    memory: ResponseCache | None = None,
    may_verify: Callable[[], bool] | None = None,
) -> Decision:
    """Decide one request at ``now`` (Unix seconds). A refusal is a value, not an exception.

    ``may_verify`` is asked before a token is verified that ``memory`` does not hold; where it
    says no, ``VerificationDeferred`` is raised and the request is to be decided again, later.
    """
    return _decide(_Evaluation(view, snapshot, now, memory, may_verify))


def explain(
    view: RequestView, snapshot: Snapshot, now: float
) -> tuple[Decision, tuple[StepResult, ...]]:
    """Decide, and return each step's verdict beside the decision."""
    evaluation = _RecordedEvaluation(view, snapshot, now)
    decision = _decide(evaluation)
    return decision, tuple(evaluation.verdicts)


def _decide(evaluation: _Evaluation) -> Decision:
    outcome: Reason | Grant
    detail, shadowed = "", None
    try:
        outcome = evaluation.run()
    except Denied as denied:
        outcome, detail = denied.reason, denied.detail
        if evaluation.route is not None and evaluation.route.shadow:
            outcome, shadowed = Grant.SHADOW, denied.reason
    trusted = outcome is Grant.TOKEN_VERIFIED
    found = evaluation.found if trusted or outcome is Grant.ANONYMOUS else None
    route = evaluation.route
    cors = route.cors if route is not None else ""
    return Decision(
        outcome,
        detail,
        route.name if route is not None else UNMATCHED,
        evaluation.method,
        evaluation.host,
        evaluation.path,
        route.csp if route is not None else "",
        evaluation.token if trusted else None,
        evaluation.token_digest,
        evaluation.warnings,
        shadowed,
        evaluation.remembered if trusted else None,
        evaluation.visit,
        route is not None and route.nonce,
        cors,
        evaluation.find_reader(route) if route is not None and cors else "",
        route.module if trusted and route is not None else None,
        removed=found.removed if found is not None else (),
        cookie=found.cookie if found is not None else None,
        stream_milliseconds=evaluation.stream_milliseconds() if trusted else 0,
    )


def check_age(snapshot: Snapshot) -> None:
    """Refuse where what decides is too old, and the configuration says so (``when_degraded``)."""
    if snapshot.key_state is KeyState.DEGRADED:
        raise Denied(Reason.KEYS_DEGRADED, "the keys are older than keys.max_age_seconds")
    if snapshot.revocations_degraded:
        raise Denied(
            Reason.KEYS_DEGRADED,
            "the revocations are older than keys.revocations.max_age_seconds",
        )


def canonical_method(raw: bytes) -> str:
    """Accept a method in the letters of every registered one (RFC 9110 §9.1)."""
    if not raw:
        hint = "no method came; allow ':method' where ext_authz has allowed_headers"
        raise Denied(Reason.REQUEST_MALFORMED, hint)
    if not _METHOD.fullmatch(raw):
        raise Denied(Reason.REQUEST_MALFORMED, "the method is not one to thirty-two capitals")
    return raw.decode("ascii")
