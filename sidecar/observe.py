"""One decision as count and audit line: what every process that answers Checks does with it."""

from typing import Protocol

from sidecar.audit import AuditEntry, AuditLog
from sidecar.authz.service import Outcome
from sidecar.reasons import ANSWERS, Reason


class Counts(Protocol):
    """Takes the count; ``Tally`` and ``Metrics`` do."""

    def count_check(self, outcome: str, reason: str, route: str, latency_us: int) -> None:
        """Count one decision."""

    def count_pii_warning(self) -> None:
        """Count a token that holds personal data and was let pass."""


def observe_decision(counts: Counts, audit: AuditLog, outcome: Outcome) -> None:
    """Count and record one decision."""
    decision, view = outcome.decision, outcome.view
    word = "allow" if decision.allowed else "deny"
    latency_us = outcome.latency_ns // 1000
    if decision.shadowed is not None:
        counts.count_check("shadow", decision.shadowed, decision.route, latency_us)
    else:
        counts.count_check(word, decision.outcome, decision.route, latency_us)
    if decision.warnings:
        counts.count_pii_warning()
    claims = decision.token.claims if decision.token is not None else None
    audit.record(
        AuditEntry(
            at=outcome.at_seconds,
            decision_id=outcome.decision_id,
            outcome=word,
            reason=decision.outcome,
            status=200 if decision.allowed else ANSWERS[Reason(decision.outcome)].status,
            route=decision.route,
            latency_us=latency_us,
            method=decision.method,
            host=decision.host,
            path=decision.path,
            tenant=claims.tenant_id if claims is not None else "",
            subject=claims.subject if claims is not None else "",
            token_id=claims.token_id if claims is not None else "",
            kid=decision.token.kid if decision.token is not None else "",
            source=view.source if view is not None else "",
            principal=view.principal if view is not None else "",
            detail=decision.detail,
            key_state=outcome.key_state,
            token_digest=decision.token_digest,
            shadow_reason=decision.shadowed or "",
            warnings=decision.warnings,
        )
    )
