"""The span of a Check: made of what its audit line is made of, when that is written."""

from sidecar.authz.decision import Decision
from sidecar.authz.ports import Outcome
from sidecar.authz.preflight import NO_CONTENT
from sidecar.authz.request_ids import read_request_id
from sidecar.authz.response_cache import AllowedCheck
from sidecar.common.reasons import ANSWERS, Grant, Reason
from sidecar.observability.tracing.tracer import SpanRecord, Tracer

_OK = 200
Trace = tuple[bytes, bool]
"""The id of a Check's trace, in hexadecimal digits, and whether its span was queued."""
NO_TRACE: Trace = (b"", False)


def trace_allowed(tracer: Tracer, allowed_check: AllowedCheck) -> Trace:
    """Queue the span of a Check that the fast path may answer, if it is sampled."""
    _, template, cached_token, attributes, at_seconds, latency_ns, decision_id = allowed_check
    headers, carried = attributes.request.http.headers, attributes.trace_context
    context = tracer.read(carried, headers)
    trace = tracer.sample(context, carried, headers, at_seconds)
    if trace is None:
        return NO_TRACE if context is None else (context.trace_id, False)
    ends = int(at_seconds * 1e9)
    tracer.end(
        SpanRecord(
            trace.trace_id,
            trace.parent_id,
            trace.flags,
            trace.state,
            ends - latency_ns,
            ends,
            "allow",
            template.outcome,
            _OK,
            template.route,
            "" if cached_token is None else cached_token.token.claims.tenant_id,
            decision_id.decode("ascii"),
            read_request_id(headers).decode("ascii"),
        )
    )
    return trace.trace_id.encode("ascii"), True


def trace_outcome(tracer: Tracer, outcome: Outcome) -> Trace:
    """Queue the span of any other Check, likewise."""
    decision, view = outcome.decision, outcome.view
    if view is None:
        return NO_TRACE
    carried = view.trace_context
    context = tracer.read(carried, view.headers)
    trace = tracer.sample(context, carried, view.headers, outcome.at_seconds)
    if trace is None:
        return NO_TRACE if context is None else (context.trace_id, False)
    ends = int(outcome.at_seconds * 1e9)
    token = decision.token
    tracer.end(
        SpanRecord(
            trace.trace_id,
            trace.parent_id,
            trace.flags,
            trace.state,
            ends - outcome.latency_ns,
            ends,
            "shadow" if decision.shadowed else "allow" if decision.allowed else "deny",
            decision.shadowed or decision.outcome,
            status_of(decision),
            decision.route,
            "" if token is None else token.claims.tenant_id,
            outcome.decision_id,
            view.request_id,
        )
    )
    return trace.trace_id.encode("ascii"), True


def status_of(decision: Decision) -> int:
    """Return the status that the client gets; 200 where the application answers."""
    if decision.outcome is Grant.PREFLIGHT:
        return NO_CONTENT
    return _OK if decision.allowed else ANSWERS[Reason(decision.outcome)].status
