"""Applies rate limits to a decision: the last step of a Check, after who asks is known.

A request that passes every other step is counted by all limits of its route. One that the
sidecar answers itself (a denial, a preflight) is counted by its address only, so that a client
that guesses is limited too; a tenant is charged for nothing that was not proved to be its own.
A failure of the sidecar's counts for nobody.
"""

from msgspec.structs import replace

from sidecar.authz.decision import Decision, RequestView
from sidecar.authz.response_cache import ResolvedTarget
from sidecar.authz.routes import Route
from sidecar.common.reasons import ANSWERS, Grant, Reason
from sidecar.limits.bucket import Limit
from sidecar.limits.limiter import CountedRequest, LimitRefusal, RateLimiter
from sidecar.limits.policy import TENANT, LimitsPolicy, RouteLimits
from sidecar.tokens.cache import CachedToken, digest_text

_SERVER_ERROR = 500


def limit_decision(
    decision: Decision, view: RequestView, limiter: RateLimiter, now_ns: int
) -> Decision:
    """Return the decision, or the denial of a limit in its place."""
    limits = decision.limits or limiter.policy.unmatched
    if _is_counted_by_address_only(decision):
        if not limits.address or _is_ours(decision):
            return decision
        refusal = limiter.take_address(limits, view.source, now_ns)
    else:
        token = decision.token
        tenant = token.claims.tenant_id if token is not None else ""
        digest = decision.token_digest if token is not None else ""
        query = view.path.partition(b"?")[2]
        request = CountedRequest(tenant, digest, view.source, view.body, view.headers, query)
        refusal = limiter.take(limits, request, now_ns)
    if refusal is not None:
        return replace(
            decision,
            outcome=Reason.RATE_LIMITED,
            detail=refusal.detail,
            fields=refusal.fields,
            module=None,
        )
    if limits.reports and decision.allowed_before_bundle:
        return replace(decision, fields=(*decision.fields, *limiter.passing_fields(now_ns)))
    return decision


def counting_limits(decision: Decision, policy: LimitsPolicy) -> tuple[Limit, ...]:
    """Return the limits that would count a request, without counting it."""
    limits = decision.limits or policy.unmatched
    if _is_counted_by_address_only(decision):
        return () if _is_ours(decision) else limits.address
    token = decision.token
    found: list[Limit] = []
    if token is not None:
        own = policy.tenants.get(token.claims.tenant_id)
        found += (own if own and each.identity == TENANT else each for each in limits.tenant)
    found += limits.address
    if token is not None:
        found += limits.token
    if limits.total is not None:
        found.append(limits.total)
    if limits.login is not None:
        found += (limits.login.pair, limits.login.account)
    return tuple(found)


def limit_cached(
    limits: RouteLimits,
    cached_token: CachedToken | None,
    source: str,
    limiter: RateLimiter,
    now_ns: int,
) -> LimitRefusal | None:
    """Count a request whose answer is cached; return why it is denied, or ``None``."""
    if limits.only_tenant:
        if cached_token is None:
            return None
        return limiter.take_tenant(limits, cached_token.token.claims.tenant_id, now_ns)
    tenant = digest = ""
    if cached_token is not None:
        tenant = cached_token.token.claims.tenant_id
        if limits.token:
            digest = cached_token.digest_text or _note_digest(cached_token)
    return limiter.take_known(limits, tenant, digest, source, now_ns)


def refused_target(
    target: ResolvedTarget, cached_token: CachedToken | None, refusal: LimitRefusal
) -> Decision:
    """Return the denial of a request to a resolved target."""
    route: Route = target.route_scope.route
    return Decision(
        Reason.RATE_LIMITED,
        refusal.detail,
        route=route.name,
        method=target.method,
        host=target.host,
        path=target.path,
        csp=route.csp,
        token=None if cached_token is None else cached_token.token,
        token_digest="" if cached_token is None else digest_text(cached_token.digest),
        target=target,
        cors=route.cors,
        fields=refusal.fields,
    )


def _note_digest(cached_token: CachedToken) -> str:
    """Keep the text of a token's digest where its requests are counted by it."""
    cached_token.digest_text = digest_text(cached_token.digest)
    return cached_token.digest_text


def _is_counted_by_address_only(decision: Decision) -> bool:
    return not decision.allowed_before_bundle or decision.outcome is Grant.PREFLIGHT


def _is_ours(decision: Decision) -> bool:
    outcome = decision.outcome
    return isinstance(outcome, Reason) and ANSWERS[outcome].status >= _SERVER_ERROR
