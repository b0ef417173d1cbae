"""One managed certificate, when it is due next, and how often it may be ordered. Pure."""

from collections import deque
from enum import StrEnum

from sidecar.certificates.issuers.base import Issuer, Order
from sidecar.certificates.managed.renewal import Level, level_at, next_level_at
from sidecar.common.errors import Fault
from workload.x509.material import Material
from workload.x509.renewal import FIRST_RETRY_SECONDS

NEVER = float("inf")
HAND_PAUSE_SECONDS = 60.0
"""Between two orders of a certificate by hand: CAs limit them."""
HAND_RETRY_SECONDS = FIRST_RETRY_SECONDS
"""The longest pause between two tries of an order by hand while nobody answers."""
_WHOLE_SECOND = 1.0
"""The fleet's pauses are measured by Vault's clock, which has whole ones."""
MIN_ORDER_PAUSE_SECONDS = 10.0
"""The floor between two automatic orders that succeeded, whatever the reason."""
MAX_ORDER_PAUSE_SECONDS = 6 * 3600.0
"""After two orders of which the second came sooner than the schedule explains. A CA that always
says "now", or gives certificates that are due at once, is asked a few times a day."""
_LIFE_SHARE = 0.25
_LEFT_SHARE = 0.1
"""A pause is no longer than these shares of a certificate's life and of what is left of it."""
_UNSERVED_PAUSE_SECONDS = 60.0
"""The same while nothing can be served: what replaced a revoked one was revoked too."""


class RevocationStep(StrEnum):
    """What has happened to a certificate that was revoked."""

    FOUND = "found"
    """Its CA has revoked it, or an operator has; another is ordered."""
    NOT_REPLACED = "not_replaced"
    """An order for another has failed."""
    REPLACED = "replaced"


class HandOrder(StrEnum):
    """What has come of the last order by hand."""

    NONE = "none"
    """There was none, or it has ended: with a certificate, or with a refusal."""
    OPEN = "open"
    """It is under way, or was not answered and is tried again."""
    JOINED = "joined"
    """One is under way that began before. If that fails, the operator's own follows it."""
    LAST = "last"
    """It was told to wait for a moment; after that it is tried once more."""


class ManagedCertificate:
    """An order, its issuer, the certificate, and what is due next. Times are Unix seconds."""

    __slots__ = (
        "_obtained", "ask_at", "by_hand", "by_hand_at", "due", "failing_since", "failures",
        "is_outage", "issuer", "last_fault", "level", "material", "order", "orders_ended",
        "renew_at", "replaced_at", "revoked", "revoked_since", "running", "try_at",
    )  # fmt: skip

    def __init__(self, order: Order, issuer: Issuer) -> None:
        self.order = order
        self.issuer = issuer
        self.material: Material | None = None
        """The certificate that is served, or was served until it was revoked. ``None`` before
        the first one is obtained, and after the last one has expired."""
        self.revoked = False
        self.revoked_since = 0.0
        """When that became known."""
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
        self.failing_since: float | None = None
        """When the first of these renewals failed."""
        self.is_outage = False
        """Whether the last one failed because Vault did not answer."""
        self.orders_ended = 0
        """Orders that brought a certificate or failed: who waits for one sees its end by this."""
        self.level = Level.FRESH
        self.running = False
        self._obtained: deque[float] = deque(maxlen=2)
        """When the last two certificates were obtained."""
        self.by_hand = HandOrder.NONE
        self.by_hand_at = -NEVER
        """When an operator last ordered it."""
        self.replaced_at = -NEVER
        """When one was last ordered in place of one that an operator had revoked."""

    def obtained(self, material: Material, now: float) -> None:
        """Take note of a certificate that was obtained."""
        self._obtained.append(now)
        self.orders_ended += 1
        self.material, self.revoked, self.by_hand = material, False, HandOrder.NONE
        self.failures, self.last_fault, self.level = 0, "", Level.FRESH
        self.failing_since, self.is_outage = None, False

    def failed(self, why: str, now: float, *, is_outage: bool) -> None:
        """Take note of an order that failed, and why."""
        self.failures += 1
        self.orders_ended += 1
        self.last_fault, self.is_outage = why, is_outage
        if self.failing_since is None:
            self.failing_since = now

    def order_by_hand(self, now: float) -> float:
        """Take note of an operator's order; return the seconds to wait, 0 if it is taken.

        A second one joins the first, for as long as that is open. One that comes while another
        order is under way joins it, and follows it if it fails.
        """
        if self.by_hand is not HandOrder.NONE:
            return 0.0
        is_under_way = self.try_at <= now
        if (pause := self.pause_seconds(self.by_hand_at, now)) > 0:
            return 0.0 if is_under_way else pause
        self.by_hand_at = now
        self.by_hand = HandOrder.JOINED if self.running and is_under_way else HandOrder.OPEN
        self.try_at = min(self.try_at, now)
        return 0.0

    def pause_after(self, fault: Fault | None, usual_seconds: float) -> float:
        """Return the pause after a failed order: the usual one, if no operator waits for it.

        Where nobody answered, an order by hand stays open, however long that takes. Where it was
        told to wait for a moment (the fleet does after another's failure), it is tried once
        more; a CA that always says so is not asked without end. Where it was refused, or the CA
        asks for a longer pause, it has ended with that.
        """
        order, self.by_hand = self.by_hand, HandOrder.NONE
        told = 0.0 if fault is None else fault.retry_after_seconds or 0.0
        if order is HandOrder.NONE or fault is None or told > HAND_RETRY_SECONDS:
            return usual_seconds
        if fault.is_outage:
            self.by_hand = order if order is HandOrder.LAST else HandOrder.OPEN
            return min(usual_seconds, HAND_RETRY_SECONDS)
        if order is HandOrder.LAST:
            return usual_seconds
        if told:
            self.by_hand = HandOrder.LAST
            return told + _WHOLE_SECOND
        if order is HandOrder.JOINED:
            self.by_hand = HandOrder.OPEN
            return 0.0
        return usual_seconds

    def not_before(self, wanted: float, now: float) -> float:
        """Return when it may be ordered automatically, if somebody ``wanted`` that at a moment.

        This is the one rule for every automatic order: the schedule's, the CA's advice (ARI), a
        replacement of what was revoked, and the second try after a failure. Failed orders have
        their own back-off. An operator is bound by ``HAND_PAUSE_SECONDS`` alone.
        """
        if not self._obtained:
            return max(wanted, now)
        first, last = self._obtained[0], self._obtained[-1]
        pause = MIN_ORDER_PAUSE_SECONDS if self.seconds_left(now) else 0.0
        long = self._long_pause(now)
        # Twice: else every second order of one who says "now" would come at once.
        if len(self._obtained) > 1 and last - first < 2 * long:
            pause = max(pause, long)
        # A clock that was set back must not hold up a renewal for longer than a pause.
        return max(wanted, now, min(last, now) + pause)

    def _long_pause(self, now: float) -> float:
        left = self.seconds_left(now)
        if self.material is None or not left:
            return _UNSERVED_PAUSE_SECONDS
        life = self.material.not_after - self.material.not_before
        return min(MAX_ORDER_PAUSE_SECONDS, life * _LIFE_SHARE, left * _LEFT_SHARE)

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
