"""The decision recorder: every Check is counted at once, and its audit line is written later.

An allowed Check costs a count and one tuple in a queue; the audit line is encoded between
Checks, a slice at a time, so that no Check waits for it. The queue is bounded: it is drained
every ``DRAIN_SECONDS``, or as soon as it is ``MAX_WAITING`` long.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from sidecar.authz.ports import Outcome
from sidecar.authz.recorded_inputs import token_inputs
from sidecar.authz.request_ids import read_request_id
from sidecar.authz.response_cache import AllowedCheck, Template
from sidecar.authz.traces import NO_TRACE, Trace, status_of, trace_allowed, trace_outcome
from sidecar.common.reasons import Reason
from sidecar.observability.audit import AuditEntry, AuditLog
from sidecar.observability.audit.entry import (
    encode_allowed_check,
    ground_fragment,
    ids_fragment,
    key_state_fragment,
    kid_fragment,
    peer_fragment,
    target_fragment,
    tenant_fragment,
    token_fragment,
)
from sidecar.observability.audit.inputs import NO_INPUTS
from sidecar.observability.counters import Counters, Exemplar
from sidecar.observability.tracing.tracer import Tracer
from sidecar.tokens.cache import CachedToken, digest_text

DRAIN_SECONDS = 0.02
SLICE_COST = 64
"""Allowed Checks written in one slice; between two slices the loop answers new Checks."""
OUTCOME_COST = 8
"""A denial takes as long to write as this many allowed Checks."""
MAX_WAITING = 4096
SLOW_NS = 1_000_000
"""Each Check that takes so long is shown as an exemplar; of others the first of a slice is."""


_log = logging.getLogger("sidecar")


def _log_fault(exc: Exception) -> None:
    _log.error("internal error (a bug in the sidecar) while recording a decision", exc_info=exc)


class _Note(NamedTuple):
    """What is stored with a template: its counter's key, and its fields of an audit line."""

    key: tuple[str, str, str]
    ground: bytes
    key_state: bytes


class DecisionRecorder:
    """Counts and records; see ``sidecar.authz.ports.Observer``.

    ``schedule`` calls a function after so many seconds, on the loop that answers the Checks.
    With a ``tracer``, sampled Checks have a span. ``on_key_unknown`` is called for tokens whose
    kid is not in the ring: the keys may have been rotated. ``on_fault`` gets exceptions raised
    while a line is written: that line is counted as dropped, and the next one is written.
    """

    __slots__ = (
        "_audit",
        "_counters",
        "_on_fault",
        "_schedule",
        "_scheduled",
        "_shows_next",
        "_tracer",
        "_waiting",
        "on_key_unknown",
    )  # fmt: skip

    def __init__(
        self,
        counters: Counters,
        audit: AuditLog,
        schedule: Callable[[float, Callable[[], None]], object],
        on_fault: Callable[[Exception], None] = _log_fault,
        tracer: Tracer | None = None,
    ) -> None:
        self._counters = counters
        self._audit = audit
        self._schedule = schedule
        self._on_fault = on_fault
        self._tracer = tracer
        self._shows_next = False
        self.on_key_unknown: Callable[[], None] = lambda: None
        self._scheduled = False
        self._waiting: deque[AllowedCheck | Outcome] = deque()

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        """Count a Check that the fast path may answer, and queue it for its audit line."""
        template = allowed_check[1]
        note: _Note | None = template.note
        if note is None:
            note = template.note = self._note(template)
        self._counters.checks[note.key] += 1
        self._counters.latency.add(allowed_check[5] // 1000)
        self._wait(allowed_check)

    def decided(self, outcome: Outcome) -> None:
        """Count a decision, and queue it for its audit line."""
        decision = outcome.decision
        shadowed = decision.shadowed
        label = "shadow" if shadowed else "allow" if decision.allowed else "deny"
        reason = shadowed or decision.outcome
        self._counters.count_check(label, reason, decision.route, outcome.latency_ns // 1000)
        if decision.warnings:
            self._counters.count_pii_warning()
        self._wait(outcome)
        if decision.outcome is Reason.KEY_UNKNOWN:
            try:
                self.on_key_unknown()
            except Exception as exc:  # noqa: BLE001 - the Check has its answer all the same
                self._on_fault(exc)

    def _wait(self, record: AllowedCheck | Outcome) -> None:
        self._waiting.append(record)
        if not self._scheduled:
            self._schedule(DRAIN_SECONDS, self._drain_slice)
            self._scheduled = True
        elif len(self._waiting) >= MAX_WAITING:
            self.drain()

    def drain(self) -> None:
        """Write every queued record."""
        while self._waiting:
            self._write_next()

    def _drain_slice(self) -> None:
        budget = SLICE_COST
        self._shows_next = True
        while self._waiting and budget > 0:
            budget -= self._write_next()
        if self._waiting:
            self._schedule(0, self._drain_slice)
        else:
            self._scheduled = False

    def _write_next(self) -> int:
        """Write one record and return its cost, in allowed Checks. Never raises."""
        record = self._waiting.popleft()
        try:
            if isinstance(record, Outcome):
                self._write_outcome(record)
                return OUTCOME_COST
            self._write_allowed(record)
        except Exception as exc:  # noqa: BLE001 - one bad record must not end the others' lines
            self._audit.count_lost(1)
            self._on_fault(exc)
        return 1

    def _write_outcome(self, outcome: Outcome) -> None:
        trace = NO_TRACE if self._tracer is None else trace_outcome(self._tracer, outcome)
        entry = entry_of(outcome, trace[0].decode("ascii"))
        self._audit.record(entry)
        if self._shows_next or outcome.latency_ns >= SLOW_NS:
            self._show(
                trace, entry.request_id, entry.decision_id, outcome.latency_ns, outcome.at_seconds
            )

    def _show(
        self,
        trace: Trace,
        request_id: str,
        decision_id: str,
        latency_ns: int,
        at_seconds: float,
    ) -> None:
        """Show a Check in the histogram, by the id that leads furthest."""
        self._shows_next = False
        label: Literal["trace_id", "request_id", "decision_id"]
        if trace[1]:
            label, value = "trace_id", trace[0].decode("ascii")
        elif request_id:
            label, value = "request_id", request_id
        else:
            label, value = "decision_id", decision_id
        self._counters.show(Exemplar(label, value, latency_ns // 1000, at_seconds))

    def _write_allowed(self, allowed_check: AllowedCheck) -> None:
        target, template, cached_token, attributes, at_seconds, latency_ns, decision_id = (
            allowed_check
        )
        tenant = kid = token = b""
        if cached_token is not None:
            if cached_token.warnings:
                self._counters.count_pii_warning()
            if cached_token.note is None:
                cached_token.note = _note_of(cached_token)
            tenant, token = cached_token.note
            kid = kid_fragment(cached_token.token.kid)
        headers, trace = attributes.request.http.headers, NO_TRACE
        if self._tracer is not None:
            trace = trace_allowed(self._tracer, allowed_check, headers)
        audit = self._audit
        if audit.samples and not audit.sampled(decision_id.decode("ascii")):
            if trace[1] and self._shows_next:  # who is shown must lead somewhere
                self._show(trace, "", "", latency_ns, at_seconds)
            return
        note: _Note = template.note
        fragment = target.note
        if fragment is None:
            fragment = target.note = target_fragment(target.method, target.host, target.path)
        source = attributes.source
        request_id = read_request_id(headers)
        audit.append(
            encode_allowed_check(
                at_seconds,
                decision_id,
                note.ground,
                tenant,
                fragment,
                peer_fragment(source.address.socket_address.address, source.principal),
                kid,
                token,
                note.key_state,
                ids_fragment(request_id, trace[0]),
                latency_ns // 1000,
            )
        )
        if self._shows_next or latency_ns >= SLOW_NS:
            self._show(
                trace,
                request_id.decode("ascii"),
                decision_id.decode("ascii"),
                latency_ns,
                at_seconds,
            )

    def _note(self, template: Template) -> _Note:
        key = ("allow", str(template.outcome), template.route)
        self._counters.checks.setdefault(key, 0)
        return _Note(
            key,
            ground_fragment(template.outcome, template.route),
            key_state_fragment(template.key_state),
        )


def _note_of(cached_token: CachedToken) -> tuple[bytes, bytes]:
    token = cached_token.token
    claims = token.claims
    return (
        tenant_fragment(claims.tenant_id, claims.subject),
        token_fragment(
            claims.token_id,
            digest_text(cached_token.digest),
            cached_token.warnings,
            token_inputs(token),
        ),
    )


def entry_of(outcome: Outcome, trace_id: str = "") -> AuditEntry:
    """Return the audit entry of a decision."""
    decision, view = outcome.decision, outcome.view
    token = decision.token or decision.known_token
    inputs = decision.inputs
    if inputs is NO_INPUTS and token is not None:
        inputs = token_inputs(token)
    claims = token.claims if token is not None else None
    return AuditEntry(
        at=outcome.at_seconds,
        decision_id=outcome.decision_id,
        outcome="allow" if decision.allowed else "deny",
        reason=decision.outcome,
        status=status_of(decision),
        route=decision.route,
        latency_us=outcome.latency_ns // 1000,
        method=decision.method,
        host=decision.host,
        path=decision.path,
        tenant=claims.tenant_id if claims is not None else "",
        subject=claims.subject if claims is not None else "",
        token_id=claims.token_id if claims is not None else "",
        kid=token.kid if token is not None else "",
        source=view.source if view is not None else "",
        principal=view.principal if view is not None else "",
        detail=decision.detail,
        key_state=outcome.key_state,
        token_digest=decision.token_digest,
        shadow_reason=decision.shadowed or "",
        warnings=decision.warnings,
        request_id=view.request_id if view is not None else "",
        inputs=inputs,
        trace_id=trace_id,
    )
