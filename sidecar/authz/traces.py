"""The span of a Check: made of what its audit line is made of.

What is there anyway is queued when the line is written; the span is made of it where it is
exported.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.authz.decision import Decision
from sidecar.authz.ports import Outcome
from sidecar.authz.preflight import NO_CONTENT
from sidecar.authz.request_ids import read_request_id
from sidecar.authz.response_cache import AllowedCheck
from sidecar.common.reasons import ANSWERS, Grant, Reason
from sidecar.observability.tracing.context import (
    RANDOM,
    SAMPLED,
    TraceContext,
    is_sampled,
    read_tracestate,
)
from sidecar.observability.tracing.tracer import SpanRecord, Tracer, read_context

_OK = 200
Trace = tuple[bytes, bool]
"""The id of a Check's trace, in hexadecimal digits, and whether it has a span there."""
NO_TRACE: Trace = (b"", False)


class AllowedSpan(NamedTuple):
    """A sampled Check that the fast path may answer."""

    context: TraceContext
    allowed_check: AllowedCheck

    def record(self) -> SpanRecord:
        """Make its span."""
        _, template, cached_token, attributes, at_seconds, latency_ns, decision_id = (
            self.allowed_check
        )
        headers = attributes.request.http.headers
        ends = int(at_seconds * 1e9)
        return SpanRecord(
            *_place(self.context, attributes.trace_context, headers),
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


class OutcomeSpan(NamedTuple):
    """Any other sampled Check."""

    context: TraceContext
    outcome: Outcome

    def record(self) -> SpanRecord:
        """Make its span."""
        outcome, decision, view = self.outcome, self.outcome.decision, self.outcome.view
        ends = int(outcome.at_seconds * 1e9)
        token = decision.token or decision.known_token
        carried, headers = (b"", {}) if view is None else (view.trace_context, view.headers)
        return SpanRecord(
            *_place(self.context, carried, headers),
            ends - outcome.latency_ns,
            ends,
            "shadow" if decision.shadowed else "allow" if decision.allowed else "deny",
            decision.shadowed or decision.outcome,
            status_of(decision),
            decision.route,
            "" if token is None else token.claims.tenant_id,
            outcome.decision_id,
            "" if view is None else view.request_id,
        )


def _place(
    context: TraceContext, carried: bytes, headers: Mapping[str, bytes]
) -> tuple[str, str, int, str]:
    """Return where in its trace a span stands: trace, parent, flags and state."""
    trace_id, parent_id, flags = context
    state = b""
    if parent_id:
        state = carried.partition(b"\n")[2] if carried else headers.get("tracestate", b"")
    return (
        trace_id.decode("ascii"),
        parent_id.decode("ascii"),
        int(flags, 16) & (SAMPLED | RANDOM),
        read_tracestate(state),
    )


def trace_allowed(
    tracer: Tracer, allowed_check: AllowedCheck, headers: Mapping[str, bytes]
) -> Trace:
    """Queue the span of a Check that the fast path may answer, if it is sampled."""
    context = read_context(allowed_check[3].trace_context, headers)
    if context is None:
        if not tracer.ratio or (context := tracer.begin()) is None:
            return NO_TRACE
    elif not is_sampled(context):
        return context[0], False
    return context[0], tracer.put(AllowedSpan(context, allowed_check), allowed_check[4])


def trace_outcome(tracer: Tracer, outcome: Outcome) -> Trace:
    """Queue the span of any other Check, likewise."""
    view = outcome.view
    if view is None:
        return NO_TRACE
    context = read_context(view.trace_context, view.headers)
    if context is None:
        if not tracer.ratio or (context := tracer.begin()) is None:
            return NO_TRACE
    elif not is_sampled(context):
        return context[0], False
    return context[0], tracer.put(OutcomeSpan(context, outcome), outcome.at_seconds)


def status_of(decision: Decision) -> int:
    """Return the status that the client gets; 200 where the application answers."""
    if decision.outcome is Grant.PREFLIGHT:
        return NO_CONTENT
    return _OK if decision.allowed else ANSWERS[Reason(decision.outcome)].status
