"""Watches for rings that stay full: Envoy then asks for what it could repeat. Pure."""

from sidecar.observability.alerts import Alert, Severity

FULL = 0.9
FULL_SECONDS = 5.0
_SUBJECT = "decision_cache"


class RingWatch:
    """Says once that rings stay full, and once that they are read again."""

    def __init__(self) -> None:
        self._full_since: float | None = None
        self.is_full = False

    def look(self, fill: float, now: float) -> Alert | None:
        """Take the fill of the fullest ring (0 to 1) at ``now`` (monotonic seconds)."""
        if fill < FULL:
            self._full_since = None
            if not self.is_full:
                return None
            self.is_full = False
            return Alert(Severity.INFO, _SUBJECT, "ok", "the rings are read again")
        if self._full_since is None:
            self._full_since = now
        if self.is_full or now - self._full_since < FULL_SECONDS:
            return None
        self.is_full = True
        return Alert(
            Severity.WARNING,
            _SUBJECT,
            "rings_full",
            "the rings of repeated decisions stay full, so Envoy asks for every request: the audit"
            " sink takes lines more slowly than they come (septem_audit_lines_queued), or"
            " listen.authz.decision_cache.ring_bytes is too small",
        )
