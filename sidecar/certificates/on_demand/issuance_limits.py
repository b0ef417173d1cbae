"""Limits on the orders that clients can cause: a rate per issuer, and a budget per domain.

Anyone who can reach the edge chooses the names that are asked for. A registered wildcard
domain makes any number of names valid, and CAs limit orders (Let's Encrypt: 50 a week per
registered domain). Renewals are not counted, and neither is a certificate that an issuer
finds in its store: the limiter is asked just before the CA.
"""

from collections import OrderedDict
from collections.abc import Callable

from sidecar.certificates.issuers.base import FindsExisting, Issuer, Order, RenewalAdvice, advise
from sidecar.common.errors import Fault
from sidecar.common.token_bucket import TokenBucket
from workload.x509.material import Material

MAX_ACCOUNTS = 100_000


class IssuanceRateExceeded(Fault):
    """No order may be placed now; ``reason`` is a label of the metrics."""

    retryable = True

    def __init__(self, reason: str, retry_after_seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class IssuanceRateLimiter:
    """Decides what may be ordered now. Only domains that used some of their budget are kept."""

    def __init__(
        self,
        *,
        orders_per_minute: float,
        burst: int,
        orders_per_domain: int,
        domain_window_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._all = TokenBucket(orders_per_minute / 60, burst, clock())
        self._per_domain = orders_per_domain
        self._window_seconds = domain_window_seconds
        self._accounts: OrderedDict[str, TokenBucket] = OrderedDict()

    def use(
        self,
        *,
        orders_per_minute: float,
        burst: int,
        orders_per_domain: int,
        domain_window_seconds: float,
    ) -> None:
        """Limit by other numbers from now on; what was ordered stays counted."""
        self._all.use(orders_per_minute / 60, burst, self._clock())
        self._per_domain, self._window_seconds = orders_per_domain, domain_window_seconds

    def spend(self, account: str) -> None:
        """Count one order for a registered domain. Raises ``IssuanceRateExceeded``."""
        now = self._clock()
        if (wait := self._all.wait_seconds(now)) > 0:
            raise IssuanceRateExceeded("orders_too_fast", wait)
        budget = self._account(account, now)
        if not budget.take(now):
            raise IssuanceRateExceeded("domain_budget_spent", budget.wait_seconds(now))
        self._all.take(now)

    def _account(self, account: str, now: float) -> TokenBucket:
        budget = self._accounts.pop(account, None)
        rate = self._per_domain / self._window_seconds
        if budget is None:
            budget = TokenBucket(rate, self._per_domain, now)
        else:
            budget.use(rate, self._per_domain, now)
        self._accounts[account] = budget
        while len(self._accounts) > 1:
            oldest, bucket = next(iter(self._accounts.items()))
            # A full budget need not be kept; beyond the bound the oldest is dropped.
            if not bucket.is_full(now) and len(self._accounts) <= MAX_ACCOUNTS:
                break
            del self._accounts[oldest]
        return budget


class RateLimitedIssuer:
    """An issuer that places orders only within the limits."""

    def __init__(self, issuer: Issuer, rate_limiter: IssuanceRateLimiter) -> None:
        self._issuer = issuer
        self._rate_limiter = rate_limiter
        self.name: str = issuer.name

    async def issue(self, order: Order) -> Material:
        """Return an existing certificate, or count the order and place it.

        Raises ``Fault``, which may be an ``IssuanceRateExceeded``.
        """
        if order.account and order.replaces is None:
            if isinstance(self._issuer, FindsExisting):
                found = await self._issuer.find(order)
                if found is not None:
                    return found
            self._rate_limiter.spend(order.account)
        return await self._issuer.issue(order)

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Return the inner issuer's renewal advice."""
        return await advise(self._issuer, material)
