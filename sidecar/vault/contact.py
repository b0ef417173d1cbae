"""How Vault has answered: since when it does or does not, its last error, and its clock. Pure.

All clients of one login share it. The threads of their calls write to it; each value is replaced
as a whole.
"""

from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.vault.errors import VaultConflict, VaultFault, VaultNotFound

MAX_SKEW_SECONDS = 5.0
"""Clocks that differ by less are taken for equal: Vault says whole seconds, after a delay."""

_ANSWERS = (VaultNotFound, VaultConflict)


class FailedCall(NamedTuple):
    """The last call that failed. ``at`` is in Unix seconds."""

    at: float
    operation: str
    fault: VaultFault


class VaultContact:
    """What is known of Vault from the calls that were made. ``now`` returns Unix seconds."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self.since = now()
        """Since when it answers, or does not."""
        self.is_healthy = True
        """Whether Vault answered the last call, be it with a refusal."""
        self.answered_at: float | None = None
        """When a call last succeeded."""
        self.failed: FailedCall | None = None
        self.clock_ahead_seconds: float | None = None
        """How far Vault's clock is ahead of this machine's, to a second or two."""
        self.skewed_since: float | None = None
        """Since when the clocks differ by more than ``MAX_SKEW_SECONDS``."""

    def succeeded(self) -> None:
        """Take note of a call that succeeded."""
        self.answered_at = self._now()
        self._turn(is_healthy=True)

    def refused(self, operation: str, fault: VaultFault) -> None:
        """Take note of a call that failed; that something is not there is often no failure."""
        if not isinstance(fault, _ANSWERS):
            self.failed = FailedCall(self._now(), operation, fault)
        self._turn(is_healthy=not fault.is_outage)

    def saw_date(self, seconds: float) -> None:
        """Take the ``Date`` of an answer (RFC 9110 §6.6.1), in Unix seconds."""
        now = self._now()
        self.clock_ahead_seconds = seconds - now
        if abs(self.clock_ahead_seconds) <= MAX_SKEW_SECONDS:
            self.skewed_since = None
        elif self.skewed_since is None:
            self.skewed_since = now

    def _turn(self, *, is_healthy: bool) -> None:
        if is_healthy is not self.is_healthy:
            self.is_healthy, self.since = is_healthy, self._now()
