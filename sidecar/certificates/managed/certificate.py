"""One managed certificate, and when it is due next. Pure."""

from enum import StrEnum

from sidecar.certificates.issuers.base import Issuer, Order
from sidecar.certificates.managed.renewal import Level, level_at, next_level_at
from workload.x509.material import Material

NEVER = float("inf")
HAND_PAUSE_SECONDS = 60.0
"""Between two orders of a certificate by hand: CAs limit them."""


class RevocationStep(StrEnum):
    """What has happened to a certificate that was revoked."""

    FOUND = "found"
    """Its CA has revoked it, or an operator has; another is ordered."""
    NOT_REPLACED = "not_replaced"
    """An order for another has failed."""
    REPLACED = "replaced"


class ManagedCertificate:
    """An order, its issuer, the certificate, and what is due next. Times are Unix seconds."""

    __slots__ = (
        "ask_at", "by_hand_at", "due", "failures", "issuer", "last_fault", "level", "material",
        "order", "renew_at", "replaced_at", "revoked", "running", "try_at",
    )  # fmt: skip

    def __init__(self, order: Order, issuer: Issuer) -> None:
        self.order = order
        self.issuer = issuer
        self.material: Material | None = None
        """The certificate that is served, or was served until it was revoked. ``None`` before
        the first one is obtained, and after the last one has expired."""
        self.revoked = False
        self.renew_at = 0.0
        """When the renewal became due; ``level_now`` counts from there."""
        self.try_at = 0.0
        """When the issuer is asked for a certificate next."""
        self.ask_at = NEVER
        """When the issuer is asked for advice next (ARI)."""
        self.due = 0.0
        """When something is due next, whatever it is."""
        self.failures = 0
        """Failed renewals since the last one that succeeded."""
        self.last_fault = ""
        self.level = Level.FRESH
        self.running = False
        self.by_hand_at = -NEVER
        """When an operator last ordered it."""
        self.replaced_at = -NEVER
        """When one was last ordered in place of one that an operator had revoked."""

    @property
    def name(self) -> str:
        """The name under which it is served."""
        return self.order.name

    def seconds_left(self, now: float) -> float:
        """Return how long the certificate may still be served; 0 if there is none."""
        if self.material is None or self.revoked:
            return 0.0
        return max(0.0, self.material.not_after - now)

    @staticmethod
    def pause_seconds(last: float, now: float) -> float:
        """Return how long until an operator may have one ordered again; 0 if now.

        ``last`` is when that was done last. A renewal and the replacement of a revoked
        certificate are counted apart: who renewed a moment ago must be able to revoke, and
        not be without a certificate for it.
        """
        since = now - last
        # A clock that was set back must not lock an operator out.
        return HAND_PAUSE_SECONDS - since if 0 <= since < HAND_PAUSE_SECONDS else 0.0

    def level_now(self, now: float) -> Level:
        """Return how close to its end it is without having been renewed."""
        if self.material is None:
            return self.level
        return level_at(self.renew_at, self.material.not_after, now)

    def next_due(self, now: float) -> float:
        """Return when it is due next: to renew, to ask for advice, or to raise its level."""
        if self.material is None:
            return self.try_at
        worse = next_level_at(self.renew_at, self.material.not_after, now)
        return min(self.try_at, self.ask_at, worse)
