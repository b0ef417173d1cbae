"""The decision: a pure function of the request, the snapshot and the time.

The steps run in this order, each one only if the one before it succeeded:

1. method, host and path in canonical form (``canonical``);
2. the route (``routes``); a request that no route matches is denied, and so is one that a
   lenient server may read as a request for a stricter route;
3. the client certificate, where the route asks for one (``requirements``);
4. the credential: exactly one, from where the route reads it, and none elsewhere
   (``credential``);
5. the token (``sidecar.tokens.verifier``);
6. personal data in claims, and revocations;
7. the proof that a bound token is its sender's (``token_binding``);
8. the tenant, the roles and the scopes that the route requires (``requirements``).

A preflight is answered after the second step, by the route of the request that it announces
(``preflight``).

Where a credential is optional, one that is sent must still be valid: a client that believes it
is signed in learns when it is not. On a route without authentication no credential is read.

``decide`` and ``explain.explain`` run the same evaluation; ``explain`` records each step. With a
response cache (``authz.response_cache``) a target that was matched before is not matched again,
and a token that was verified before is not verified again; every other step runs as always, and
the decision is the same. So it is with ``findings`` of the fast path, for a token never seen.

The file is longer than others, as the steps of one evaluation stay in one class.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

from sidecar.authz.credential import Credential, find_scanned_token, find_token, where_none_is
from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.method import OPTIONS, canonical_method
from sidecar.authz.preflight import match_preflight
from sidecar.authz.recorded_inputs import Decided, request_inputs
from sidecar.authz.requirements import check_client, check_grants, check_tenant
from sidecar.authz.response_cache import FastPathFindings, ResolvedTarget, ResponseCache
from sidecar.authz.routes import DPOP, UNMATCHED, Route
from sidecar.authz.streams import TIMEOUT_HEADER, stream_milliseconds
from sidecar.authz.token_binding import (
    DPOP_HEADER,
    NONCE_FIELD,
    Presented,
    check_certificate,
    check_dpop,
    check_method,
)
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.observability.audit.inputs import NO_INPUTS, RecordedInputs
from sidecar.tokens.cache import CachedToken, digest_text
from sidecar.tokens.claims import validity
from sidecar.tokens.pii import check_pii
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.proofs import ProofGuard
from sidecar.tokens.verifier import ClaimsDenied, VerifiedToken, verify_token

NO_ROUTE = "no route matches this method, host and path"
"""The detail of a denial."""
_STRICTEST = IssuerPolicy(leeway_seconds=0.0)
"""For a token whose issuer is gone since; it has no more rules, and no leeway."""


class VerificationDeferred(Exception):
    """The request needs a signature verification, and ``may_verify`` did not permit one now."""


class Evaluation:
    """The evaluation of one request: its steps, and the results so far.

    Every step is a method; ``explain`` wraps them, so that explaining and deciding run the same
    code, and deciding pays nothing for it.
    """

    def __init__(
        self,
        view: RequestView,
        snapshot: Snapshot,
        now: float,
        response_cache: ResponseCache | None = None,
        may_verify: Callable[[], bool] | None = None,
        *,
        findings: FastPathFindings | None = None,
        proofs: ProofGuard | None = None,
    ) -> None:
        self._findings = findings
        self._proofs = proofs
        self._offered_nonce: str | None = None
        self._has_verified = False
        self._view = view
        self._snapshot = snapshot
        self._now = now
        self._response_cache = response_cache
        self._may_verify = may_verify
        self.target: ResolvedTarget | None = None
        self.cached_token: CachedToken | None = None
        self.method = self.host = self.path = self.token_digest = ""
        self.route: Route | None = None
        self.token: VerifiedToken | None = None
        self.known_token: VerifiedToken | None = None
        """The token once its claims were read, whether it is accepted or not."""
        self.found: Credential | None = None
        self.warnings: tuple[str, ...] = ()

    def decide(self) -> Decision:
        """Run the steps and return the decision. A denial is a value, not an exception."""
        outcome: Reason | Grant
        detail, shadowed = "", None
        try:
            outcome = self.run()
        except Denied as denied:
            outcome, detail = denied.reason, denied.detail
            if self.route is not None and self.route.shadow:
                outcome, shadowed = Grant.SHADOW, denied.reason
        trusted = outcome is Grant.TOKEN_VERIFIED
        if outcome is Reason.DPOP_NONCE_REQUIRED and self._proofs is not None:
            period = self._snapshot.dpop.nonce_seconds
            self._offered_nonce = self._proofs.nonces.current(period, self._now)
        nonce = self._offered_nonce
        found = self.found if trusted or outcome is Grant.ANONYMOUS else None
        route = self.route
        cors = route.cors if route is not None else ""
        return Decision(
            outcome,
            detail,
            route.name if route is not None else UNMATCHED,
            self.method,
            self.host,
            self.path,
            route.csp if route is not None else "",
            self.token if trusted else None,
            self.token_digest,
            self.warnings,
            shadowed,
            self.cached_token if trusted else None,
            self.target,
            route is not None and route.nonce,
            cors,
            self.find_reader(route) if route is not None and cors else "",
            route.module if trusted and route is not None else None,
            limits=route.limits if route is not None else None,
            removed=found.removed if found is not None else (),
            cookie=found.cookie if found is not None else None,
            stream_milliseconds=self.stream_milliseconds() if trusted else 0,
            fields=((NONCE_FIELD, nonce.encode("ascii")),) if nonce is not None else (),
            dpop=_takes_dpop(route),
            inputs=self.read_inputs(shadowed or outcome)
            if self._snapshot.recorded_rules
            else NO_INPUTS,
            known_token=self.known_token if self._snapshot.recorded_rules else None,
        )

    def read_inputs(self, reason: str) -> RecordedInputs:
        """Return what the audit line has of what this was decided from."""
        snapshot = self._snapshot
        decided = Decided(reason, snapshot.dpop, snapshot.recorded_rules)
        return request_inputs(self._view, self.route, self.known_token, self.found, decided)

    def run(self) -> Grant:
        """Run the steps; return the reason for which the request passes, or raise ``Denied``."""
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
        is_dpop = self.found is not None and self.found.is_dpop
        if token.claims.confirmation is not None or route.binding_required or is_dpop:
            self.check_binding(token, route, raw, is_dpop)
        self.check_tenant(token, route)
        self.check_grants(token, route)
        return Grant.TOKEN_VERIFIED

    def check_preflight(self) -> bool:
        """Return whether this is a preflight to answer; raise ``Denied`` for a foreign origin."""
        match = match_preflight(self._view, self._snapshot)
        if match is None:
            return False
        self.host, self.path, route = match
        self.method, self.route = "OPTIONS", route
        if not self.find_reader(route):
            hint = f"headers.cors.{route.cors} does not allow this origin"
            raise Denied(Reason.ORIGIN_NOT_ALLOWED, hint)
        return True

    def find_reader(self, route: Route) -> str:
        """Return the origin whose pages may read the answer, ``*`` for all."""
        tenant_id = self.token.claims.tenant_id if self.token is not None else None
        origin = self._view.headers.get("origin", b"")
        return self._snapshot.headers.reader(route.cors, origin, self.host, tenant_id)

    def find_route(self) -> Route:
        """Return the route, from the response cache if the same target was matched before."""
        view, response_cache = self._view, self._response_cache
        if self._findings is not None:
            return self._take_target(self._findings.target)
        target_key = (view.method, view.host, view.path.partition(b"?")[0])
        target = response_cache.targets.get(target_key) if response_cache is not None else None
        if target is None:
            self.method = self.read_method()
            self.host = self.read_host()
            self.path = self.read_path()
            route = self.route = self.match()
            # An OPTIONS request may be a preflight, which its target alone does not show.
            if response_cache is not None and view.method != OPTIONS:
                self.target = response_cache.cache_target(
                    target_key, self.method, self.host, self.path, route
                )
            return route
        return self._take_target(target)

    def _take_target(self, target: ResolvedTarget) -> Route:
        """Take over a target that was matched before, and return its route."""
        self.target = target
        self.method, self.host, self.path = target.method, target.host, target.path
        route = self.route = target.route_scope.route
        return route

    def read_method(self) -> str:
        """Return the method in canonical form."""
        return canonical_method(self._view.method)

    def read_host(self) -> str:
        """Return the host in canonical form."""
        return canonical_host(self._view.host)

    def read_path(self) -> str:
        """Return the path in canonical form."""
        return canonical_path(self._view.path)

    def match(self) -> Route:
        """Return the first route that matches; raise ``Denied`` for none or for two readings."""
        route = self._snapshot.routes.find(self.method, self.host, self.path)
        if route is None:
            raise Denied(Reason.ROUTE_UNKNOWN, NO_ROUTE)
        return route

    def check_client(self, route: Route) -> None:
        """Check the client's certificate against the route's list."""
        view = self._view
        check_client(view.principal, view.certificate, route.clients, self._now)

    def find_credential(self, route: Route) -> bytes | None:
        """Return the one credential, or ``None`` where none is required and none was sent."""
        view, limit = self._view, self._snapshot.tokens.max_token_bytes
        if self._findings is not None:
            found = self.found = find_scanned_token(view.headers, route.places, limit)
        else:
            query = view.path.partition(b"?")[2]
            found = self.found = find_token(view.headers, query, route.places, limit)
        if found.token is None and route.auth == "required":
            where = where_none_is(view.headers, route.places)
            raise Denied(
                Reason.TOKEN_MISSING,
                f"{where}; the query has one, but tokens in the query are never read"
                if found.in_query
                else where,
            )
        if found.in_query:
            raise Denied(
                Reason.TOKEN_AMBIGUOUS, "the query has a token, which is not read from there"
            )
        return found.token

    def find_token(self, raw: bytes) -> VerifiedToken:
        """Return the verified token, from the cache if the same bytes were verified before."""
        snapshot, findings = self._snapshot, self._findings
        if findings is not None and findings.digested_bytes == len(raw):
            digest = findings.digest
        else:
            digest = hashlib.sha256(raw).digest()
        self.token_digest = digest_text(digest)
        if not snapshot.ring:
            raise Denied(Reason.KEYS_UNAVAILABLE, "no verification key is loaded")
        if snapshot.refuse_degraded:
            snapshot.check_age()
        tokens = self._response_cache.tokens if self._response_cache is not None else None
        if tokens is not None:
            known = tokens.get(digest, snapshot.ring, self._now)
            if known is not None:
                self.cached_token = known
                self.token = self.known_token = known.token
                self.warnings = known.warnings
                return known.token
            if self._may_verify is not None and not self._may_verify():
                raise VerificationDeferred
        self._has_verified = True
        whole = self.verify(raw)
        self.known_token = token = whole.slimmed()
        self.check_pii(whole)
        self.token = token
        if tokens is not None:
            rules = self.rules_of(token)
            self.cached_token = tokens.put(digest, token, self.warnings, rules, self._now)
        return token

    def verify(self, raw: bytes) -> VerifiedToken:
        """Check the token against every rule of ``sidecar.tokens.verifier``."""
        snapshot = self._snapshot
        try:
            return verify_token(raw, snapshot.ring, snapshot.tokens, self._now, keep_payload=False)
        except ClaimsDenied as denied:
            self.known_token = denied.token.slimmed()
            raise

    def rules_of(self, token: VerifiedToken) -> IssuerPolicy:
        """Return the rules by which a token was verified, those of its key's issuer."""
        return self._snapshot.tokens.of(token.key.issuer) or _STRICTEST

    def check_pii(self, token: VerifiedToken) -> None:
        """Look for personal data in the claims."""
        snapshot = self._snapshot
        if token.payload is not None:
            allowed = self.rules_of(token).may_hold_pii
            self.warnings = check_pii(
                token.payload, snapshot.pii_names, snapshot.pii_values, allowed
            )

    def check_revocation(self, token: VerifiedToken) -> None:
        """Deny a token that is revoked."""
        self._snapshot.revocations.check(token.claims)

    def check_binding(self, token: VerifiedToken, route: Route, raw: bytes, is_dpop: bool) -> None:
        """Check that a bound token is its sender's, and that the route takes one like this.

        Its proof costs a signature check like a token's, so it waits for its turn like one.
        """
        confirmation = token.claims.confirmation
        check_method(confirmation, route, is_dpop=is_dpop)
        if confirmation is None:
            return
        if confirmation.certificate:
            check_certificate(self._view.certificate, confirmation.certificate)
        if confirmation.jkt:
            if not self._has_verified and self._may_verify is not None and not self._may_verify():
                raise VerificationDeferred
            header = self._view.headers.get(DPOP_HEADER)
            presented = Presented(self.method, self.host, self.path, raw, header)
            self._offered_nonce = check_dpop(
                presented, confirmation.jkt, self._snapshot.dpop, self._proofs, self._now
            )

    def check_tenant(self, token: VerifiedToken, route: Route) -> None:
        """Check the token's tenant against the route's and the host's."""
        owner = self._snapshot.headers.owner_of(self.host)
        if owner is not None or route.tenant is not None:
            check_tenant(token.claims, route, owner)

    def check_grants(self, token: VerifiedToken, route: Route) -> None:
        """Check the token's roles and scopes against the route's."""
        if route.roles or route.scopes:
            check_grants(token.claims, route)

    def stream_milliseconds(self) -> int:
        """Return how long the stream may last; 0 where the route does not limit it."""
        if self.route is None or self.token is None or not self.route.end_streams_with_token:
            return 0
        ends_at = validity(self.token.claims, self.rules_of(self.token)).ends_at
        client_timeout = self._view.headers.get(TIMEOUT_HEADER, b"")
        return stream_milliseconds(ends_at, self._now, client_timeout)


def _takes_dpop(route: Route | None) -> Literal["", "accepted", "required"]:
    """Return whether a route takes tokens under the scheme ``DPoP``, and no others."""
    if route is None or DPOP not in route.bound_by:
        return ""
    return "required" if route.binding_required and len(route.bound_by) == 1 else "accepted"


def decide(
    view: RequestView,
    snapshot: Snapshot,
    now: float,
    response_cache: ResponseCache | None = None,
    may_verify: Callable[[], bool] | None = None,
    *,
    findings: FastPathFindings | None = None,
    proofs: ProofGuard | None = None,
) -> Decision:
    """Decide one request at ``now`` (Unix seconds). A denial is a value, not an exception.

    ``may_verify`` is called before a token is verified that ``response_cache`` does not hold.
    Where it returns false, ``VerificationDeferred`` is raised; decide the request again later.
    ``findings`` are the fast path's about this very request, under this very snapshot. ``proofs``
    remembers the DPoP proof of a request that presents one: the one thing that a decision changes.
    """
    return Evaluation(
        view, snapshot, now, response_cache, may_verify, findings=findings, proofs=proofs
    ).decide()
