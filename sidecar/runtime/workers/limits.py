"""Rate limits across workers: each reports what it spent, and gets its share of every bucket.

The main process holds the one bucket of each key (``limits.sharing.Divider``), and its share of
the fleet's, where there is a fleet. A worker reports every period what was asked of it; between
two reports it spends its share without asking, so no Check waits for the main process.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import astuple

from sidecar.common.clock import elapsed_ns
from sidecar.decision_cache.credits import CreditSlots
from sidecar.limits.bucket import SECOND_NS, Limit
from sidecar.limits.buckets import Buckets
from sidecar.limits.policy import TENANT, tenant_of
from sidecar.limits.sharing import MAX_REPORTS, PERIOD_NS, Divider
from sidecar.runtime.workers.limit_frames import (
    LimitsShares,
    LimitsState,
    LimitsUsed,
    TenantLimitsFrame,
)


class LimitShares:
    """The main process's end: takes the workers' reports, and says what every worker must know."""

    def __init__(
        self, limiter: Buckets, workers: int, credit_slots: CreditSlots | None = None
    ) -> None:
        """With ``credit_slots`` each tenant that was asked for gets one (the decision cache)."""
        self._limiter = limiter
        self._credit_slots = credit_slots
        self._workers = workers
        self._divider = Divider(limiter, workers)

    def reply(self, worker: int, used: LimitsUsed) -> tuple[LimitsShares, LimitsShares | None]:
        """Charge what a worker spent; return its shares, and what the others must be told."""
        now = elapsed_ns()
        shares, news = self._divider.take(worker, used.reports, used.since_ns, now)
        if self._credit_slots is not None:
            for share in shares:  # what a worker only claims to count has none
                if (tenant := tenant_of(share.key)) is not None:
                    self._credit_slots.slot_of(tenant)
        told = LimitsShares(now, tuple(news)) if news else None
        return LimitsShares(now, tuple(shares)), told

    def state(self) -> LimitsState:
        """Return what every worker counts by, besides its settings."""
        limiter = self._limiter
        share = limiter.new_strict_share / self._workers
        return LimitsState(limiter.secret, limiter.new_share, share)

    def tenants(self) -> Mapping[str, Limit]:
        """Return the tenants' own limits."""
        return self._limiter.policy.tenants


class WorkerLimits:
    """A worker's end. ``call_later`` is the loop's; ``send`` sends a frame."""

    def __init__(
        self,
        limiter: Buckets,
        call_later: Callable[[float, Callable[[], None]], object],
        send: Callable[[LimitsUsed], None],
    ) -> None:
        self._limiter = limiter
        self._call_later = call_later
        self._send = send
        self._tenants = dict(limiter.policy.tenants)
        self._reported_ns = elapsed_ns()
        self._call_later(PERIOD_NS / SECOND_NS, self._report)

    def take(self, frame: LimitsState | LimitsShares | TenantLimitsFrame) -> None:
        """Count by what the main process says, from the next Check on."""
        limiter = self._limiter
        match frame:
            case LimitsShares():
                limiter.apply(frame.shares, frame.at_ns)
            case TenantLimitsFrame():
                self._take_rates(frame)
            case LimitsState():
                limiter.use_secret(frame.secret)
                limiter.new_share = frame.new_share
                limiter.new_strict_share = frame.new_strict_share

    def _take_rates(self, frame: TenantLimitsFrame) -> None:
        for tenant, rate in frame.rates.items():
            if rate is None:
                self._tenants.pop(tenant, None)
            else:
                self._tenants[tenant] = Limit(TENANT, "tenant", *astuple(rate))
        limiter = self._limiter
        if limiter.policy.tenants is not self._tenants:
            # One table, changed in place: a copy for each of a hundred thousand would take long.
            limiter.policy = limiter.policy.with_tenants(self._tenants)
        limiter.use_tenants(frame.rates, elapsed_ns())

    def _report(self) -> None:
        """Report what was spent, if anything was; and again after a period."""
        reports = self._limiter.report(MAX_REPORTS)
        since, self._reported_ns = self._reported_ns, elapsed_ns()
        if reports:
            self._send(LimitsUsed(since, tuple(reports)))
        self._call_later(PERIOD_NS / SECOND_NS, self._report)
