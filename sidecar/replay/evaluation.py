"""One recorded request, evaluated by the server's own steps.

Each step that asks the world (a signature, a certificate, a revocation list, a proof) is answered
from the line instead. Where the line does not tell, the step is left *open* and the evaluation
goes on as if it held: a later step that denies then denies for certain, whatever the open one
would have said; a request that passes with open steps is unknown.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.authz.credential import COOKIE_PREFIX, HEADER
from sidecar.authz.decision import Snapshot
from sidecar.authz.evaluate import Evaluation
from sidecar.authz.recorded_inputs import proof_digest
from sidecar.authz.requirements import check_names
from sidecar.authz.routes import Route, at_least_as_strict
from sidecar.authz.token_binding import check_method
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.config import model
from sidecar.headers.security import SecurityHeaders
from sidecar.observability.audit.inputs import NO_INPUTS
from sidecar.replay.known import BINDING, CLAIMS, FOR_GOOD, STATE, CredentialState, Known
from sidecar.replay.line import ALLOW, RecordedLine
from sidecar.replay.request import view_of
from sidecar.replay.tokens import RecordedTokens, claims_of, unknown_token
from sidecar.tokens.verifier import VerifiedToken
from workload.x509.identities import PeerNames, address_of, is_spiffe_id, matches_id

_OF_ORIGINS = frozenset({Grant.PREFLIGHT, Reason.ORIGIN_NOT_ALLOWED})
NOT_RECORDED = "the line has no inputs (audit.record_inputs was off)"
CUT_OFF = "the line's inputs were cut, or are another version's"


class UndecidableError(Exception):
    """Nothing of a request can be decided; the text says why."""


class Then(NamedTuple):
    """What is known of the configuration by which the lines were decided."""

    routes: Mapping[str, Route]
    """By name."""
    headers: SecurityHeaders
    """With the owners of hosts."""


class World(NamedTuple):
    """A configuration to decide by, and what is made of it once."""

    config: model.Config
    snapshot: Snapshot
    tokens: RecordedTokens
    then: "Then | None" = None
    """By what the lines were decided, where all that concerns tokens is as it was then: a token
    that passed passes. ``None`` where that is not known."""


class RecordedEvaluation(Evaluation):
    """The evaluation of one line. ``open`` says what the line leaves open."""

    def __init__(
        self, line: RecordedLine, known: Known, world: World, matched: Route | Denied
    ) -> None:
        """Prepare; ``matched`` is the route of the line's target, or why there is none."""
        self.open: list[str] = []
        self._line = line
        self._known = known
        self._inputs = NO_INPUTS if known.inputs is None else known.inputs
        self._world = world
        self._matched = matched
        super().__init__(view_of(line, known), world.snapshot, line.at)

    def leave_open(self, what: str) -> None:
        """Note what the line does not tell."""
        if what not in self.open:
            self.open.append(what)

    def _leave_unrecorded(self) -> None:
        self.leave_open(CUT_OFF if self._known.is_cut else NOT_RECORDED)

    # The target: what is recorded is canonical already.

    def find_route(self) -> Route:
        """Return the route that was found for the recorded target."""
        line, matched = self._line, self._matched
        self.method, self.host, self.path = line.method, line.host, line.path
        if isinstance(matched, Denied):
            raise Denied(matched.reason, matched.detail)
        self.route = matched
        return matched

    def check_preflight(self) -> bool:
        """Answer a preflight by its recorded origin, if it was one."""
        if self._inputs.announced:
            try:
                return super().check_preflight()
            except Denied as denied:
                self._check_tenants_origin(denied)
                return True
        if self._known.reason in _OF_ORIGINS:
            raise UndecidableError(CUT_OFF if self._known.is_cut else NOT_RECORDED)
        if self._known.inputs is None and any(r.cors for r in self._snapshot.routes.routes):
            self.leave_open("whether this was a preflight, and of which origin")
        return False

    def _check_tenants_origin(self, denied: Denied) -> None:
        """Deny an origin, unless the registry of domains may say whose it is."""
        cors = self.route.cors if self.route is not None else ""
        by_domain = bool(cors) and self._snapshot.headers.cors[cors].tenant_domains
        if not by_domain or self._world.config.on_demand is None:
            raise denied
        if self._known.reason is denied.reason:
            raise denied
        if self._known.reason is not Grant.PREFLIGHT:
            self.leave_open("whose domain the origin is, by the registry")

    # The client's certificate.

    def check_client(self, route: Route) -> None:
        """Check the recorded names of the certificate, or Envoy's one name where that decides."""
        known, line = self._known, self._line
        if self._inputs.peer:
            check_names(_names_of(self._inputs.peer), route.clients)
        elif not line.principal or known.reason is Reason.CLIENT_CERTIFICATE_MISSING:
            raise Denied(Reason.CLIENT_CERTIFICATE_MISSING, "no client certificate was recorded")
        elif known.reason is Reason.CLIENT_NOT_ALLOWED and known.inputs is not None:
            raise Denied(Reason.CLIENT_NOT_ALLOWED, line.detail)
        elif is_spiffe_id(line.principal) and all(map(is_pattern, route.clients)):
            if not any(matches_id(line.principal, each) for each in route.clients):
                raise Denied(Reason.CLIENT_NOT_ALLOWED, "the client's ID is not on the list")
            self.leave_open("the client's certificate was not read: its one ID would be allowed")
        else:
            self.leave_open("which names the client's certificate has")

    # The credential.

    def find_credential(self, route: Route) -> bytes | None:
        """Find the recorded credential by the places of this route."""
        match self._known.credential:
            case CredentialState.UNREAD:
                return self._find_unread()
            case CredentialState.AMBIGUOUS if not self._inputs.in_query:
                return self._find_ambiguous(route)
        if not self._is_place_known(route):
            return b"?"
        new = [
            place
            for place in route.token_from
            if place.startswith(COOKIE_PREFIX) and place not in self._searched
        ]
        if new:
            self.leave_open(f"whether there was a token in {', '.join(new)}")
            if self._known.credential is CredentialState.ABSENT:
                return b"?" if route.auth == "required" else None
        return super().find_credential(route)

    def _find_unread(self) -> bytes:
        self.leave_open(f"whether there was a token: {self._known.credential.value}")
        return b"?"

    def _find_ambiguous(self, route: Route) -> bytes:
        is_known = self._inputs.searched or self._route_then is not None
        if is_known and self._searched == frozenset(route.token_from):
            raise Denied(Reason.TOKEN_AMBIGUOUS, self._line.detail)
        self.leave_open("which of several credentials this route would read")
        return b"?"

    @property
    def _searched(self) -> frozenset[str]:
        """The places in which the token was looked for then."""
        searched = self._inputs.searched
        if not searched and self._known.inputs is None and self._route_then is not None:
            searched = self._route_then.token_from
        return frozenset(searched or (self._inputs.place or HEADER,))

    def _is_place_known(self, route: Route) -> bool:
        """Return whether the credential's place is known, or the route looks where it was."""
        known = self._known
        if known.credential not in {CredentialState.VERIFIED, CredentialState.FAILED}:
            return True
        if self._inputs.place or known.has_claims:
            return True
        if self._inputs.searched and set(self._inputs.searched) == set(route.token_from):
            return False  # it is read as it was
        then = self._route_then
        if then is None or set(then.token_from) != set(route.token_from):
            self._leave_unrecorded()
        return False

    # The token.

    def verify(self, _raw: bytes) -> VerifiedToken:
        """Return the recorded token as this configuration reads it."""
        line, known, world = self._line, self._known, self._world
        if known.has_claims:
            claims = claims_of(self._inputs, line.tenant, line.subject)
            return world.tokens.verify(self._inputs, line.kid, claims, line.at, self.leave_open)
        if known.credential is CredentialState.FAILED:
            self._verify_failed()
        elif known.credential is CredentialState.VERIFIED:
            if world.tokens.is_denied(line.kid):
                raise Denied(Reason.KEY_UNKNOWN, "its key is denied")
            if self.route is None or not self._is_as_then(self.route):
                self._leave_unrecorded()
        return unknown_token(line.tenant, line.kid)

    def _verify_failed(self) -> None:
        """Deny a token that failed then and must fail now; leave open any other."""
        reason = self._known.reason
        if isinstance(reason, Reason) and reason not in STATE:
            if self._has_rules_of_then:
                raise Denied(reason, self._line.detail)
            self.leave_open(f"claims of a token that failed as {reason} were not believed")
            if reason in FOR_GOOD:
                raise Denied(reason, self._line.detail)
        else:
            self.leave_open(f"the sidecar's state then: {reason}")

    @property
    def _has_rules_of_then(self) -> bool:
        """Whether all that decides about a token alone is as it was."""
        world = self._world
        return world.then is not None or self._inputs.rules == world.tokens.rules

    def check_pii(self, _token: VerifiedToken) -> None:
        """Judge the personal data that was found."""
        if not self._known.has_claims:
            return
        tokens, is_denied = self._world.tokens, self._known.reason is Reason.PII_IN_TOKEN
        found = (self._line.detail,) if is_denied else self._line.warnings
        self.warnings = tokens.check_pii(self._inputs, found, self.leave_open)
        if is_denied:
            self.leave_open("the token may hold more personal data than the one that was named")

    def check_revocation(self, _token: VerifiedToken) -> None:
        """Deny what was revoked then."""
        reason = self._known.reason
        if reason is Reason.TOKEN_REVOKED:
            raise Denied(reason, self._line.detail)
        if self._ended_early() and self._world.config.keys.revocations is not None:
            self.leave_open("whether the token is revoked was not looked at")

    def check_binding(self, token: VerifiedToken, route: Route, _raw: bytes, is_dpop: bool) -> None:
        """Check the token's method; its proof held then, or did not."""
        if not self._known.has_claims:
            if self._known.reason in BINDING:
                self._fails_as_then(route)
            if not self._is_as_then(route):
                self.leave_open("whether the token is bound")
            return
        confirmation = token.claims.confirmation
        check_method(confirmation, route, is_dpop=is_dpop)
        if confirmation is None:
            return
        same_rules = not is_dpop or proof_digest(self._snapshot.dpop) == self._inputs.dpop
        reason = self._known.reason
        if reason in BINDING - {Reason.TOKEN_BOUND, Reason.TOKEN_NOT_BOUND} - STATE and same_rules:
            raise Denied(Reason(reason), self._line.detail)
        if not same_rules or reason in BINDING or self._ended_early():
            self.leave_open("whether the token's proof would hold")

    def check_tenant(self, token: VerifiedToken, route: Route) -> None:
        """Check the tenant by routes and configured domains; the registry's are those of then."""
        owner = self._snapshot.headers.owner_of(self.host)
        if not token.claims.tenant_id:
            then = self._world.then
            is_owners = then is not None and owner == then.headers.owner_of(self.host)
            if self._known.reason is Reason.TENANT_MISMATCH and is_owners:
                self._fails_as_then(route)
            if owner is not None or route.tenant is not None:
                self.leave_open("whose the token is")
            return
        super().check_tenant(token, route)
        known = self._known
        if owner is not None or self._world.config.on_demand is None:
            return
        if known.reason is Reason.TENANT_MISMATCH and "host" in self._line.detail:
            raise Denied(Reason.TENANT_MISMATCH, self._line.detail)
        if known.reason in BINDING or self._ended_early():
            self.leave_open("whose the host is, by the registry")

    def check_grants(self, token: VerifiedToken, route: Route) -> None:
        """Check roles and scopes, where they are known."""
        if self._known.has_claims or not (route.roles or route.scopes):
            super().check_grants(token, route)
            return
        if self._known.reason in {Reason.ROLE_MISSING, Reason.SCOPE_MISSING}:
            self._fails_as_then(route)
        if not self._is_as_then(route):
            self.leave_open("which roles and scopes the token has")

    def _ended_early(self) -> bool:
        """Return whether nothing was looked at after the token's claims."""
        reason = self._known.reason
        if reason is Reason.RATE_LIMITED:
            # By its address a request is counted also where a later step denied it.
            return self._line.detail.partition(":")[0].endswith("address")
        return reason in CLAIMS

    def _fails_as_then(self, route: Route) -> None:
        """Deny what was denied then, where the route is as strict as it was."""
        then, reason = self._route_then, self._known.reason
        if then is not None and isinstance(reason, Reason) and at_least_as_strict(route, then):
            raise Denied(reason, self._line.detail)

    @property
    def _route_then(self) -> Route | None:
        then = self._world.then
        return None if then is None else then.routes.get(self._line.route)

    def _is_as_then(self, route: Route) -> bool:
        """Return whether a request that passed then passes this route, whatever its token."""
        then = self._route_then
        passed = self._line.outcome == ALLOW and not self._line.shadow_reason
        return then is not None and passed and at_least_as_strict(then, route)


def _names_of(peer: tuple[str, ...]) -> PeerNames:
    """Return recorded names as a certificate's."""
    ids = [each for each in peer if is_spiffe_id(each)]
    addresses = tuple(each for each in peer if address_of(each) is not None)
    names = tuple(each for each in peer if each not in ids and each not in addresses)
    return PeerNames(ids[0] if ids else None, names, addresses)


def is_pattern(text: str) -> bool:
    """Return whether a route's client is named by a SPIFFE ID."""
    return text.startswith("spiffe://")
