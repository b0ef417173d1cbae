"""One certificate that is kept, and when it has its next turn. Pure."""

from sidecar.certificates.issuers.base import Issuer, Order
from sidecar.certificates.managed.renewal import Level, level_at, next_level_at
from workload.x509.material import Material

NEVER = float("inf")
HAND_PAUSE_SECONDS = 60.0
"""Between two orders of a certificate by hand: CAs count them."""


class ManagedCertificate:
    """What was ordered of whom, what came of it, and what comes next. Times are Unix seconds."""

    __slots__ = (
        "ask_at", "by_hand_at", "due", "failures", "issuer", "last_fault", "level", "material",
        "order", "renew_at", "revoked", "running", "try_at",
    )  # fmt: skip

    def __init__(self, order: Order, issuer: Issuer) -> None:
        self.order = order
        self.issuer = issuer
        self.material: Material | None = None
        """What is served; or was, until it was revoked. ``None`` before it is had, and when
        it has ended."""
        self.revoked = False
        self.renew_at = 0.0
        """When renewal was due first; how near the end is, is reckoned from there."""
        self.try_at = 0.0
        """When the issuer is asked next."""
        self.ask_at = NEVER
        """When the issuer is asked for advice next (ARI)."""
        self.due = 0.0
        """The next turn, whatever it is for."""
        self.failures = 0
        """Renewals that failed since the last one that did not."""
        self.last_fault = ""
        self.level = Level.FRESH
        self.running = False
        self.by_hand_at = -NEVER
        """When an operator last had one ordered."""

    @property
    def name(self) -> str:
        """What it is served as."""
        return self.order.name

    def seconds_left(self, now: float) -> float:
        """Return how long what is held may still be served; 0 where nothing is."""
        if self.material is None or self.revoked:
            return 0.0
        return max(0.0, self.material.not_after - now)

    def hand_pause_seconds(self, now: float) -> float:
        """Return how long until an operator may have one ordered again; 0 if now."""
        since = now - self.by_hand_at
        # A clock that was set back must not shut an operator out.
        return HAND_PAUSE_SECONDS - since if 0 <= since < HAND_PAUSE_SECONDS else 0.0

    def level_now(self, now: float) -> Level:
        """Tell how near its end it is without having been renewed."""
        if self.material is None:
            return self.level
        return level_at(self.renew_at, self.material.not_after, now)

    def next_turn(self, now: float) -> float:
        """Return when to look at it next: to renew, to ask, or because it gets worse."""
        if self.material is None:
            return self.try_at
        worse = next_level_at(self.renew_at, self.material.not_after, now)
        return min(self.try_at, self.ask_at, worse)
