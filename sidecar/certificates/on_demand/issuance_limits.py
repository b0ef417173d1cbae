"""How much may be asked of a CA on behalf of strangers: a rate for all, a budget a domain.

Whoever can reach the edge chooses what names are asked for. A registered domain's wildcard
makes any number of them good, and CAs count orders (Let's Encrypt: 50 a week for a
registered domain). A renewal is our own doing and is not counted, nor is what an issuer
finds stored: the allowance is asked just before the CA is.
"""

from collections import OrderedDict
from collections.abc import Callable

from sidecar.certificates.issuers.base import FindsExisting, Issuer, Order, RenewalAdvice, advise
from sidecar.common.errors import Fault
from sidecar.common.token_bucket import TokenBucket
from workload.x509.material import Material

MAX_ACCOUNTS = 100_000


class IssuanceRateExceeded(Fault):
    """No order may be made now; ``reason`` is one word for it."""

    retryable = True

    def __init__(self, reason: str, retry_after_seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class IssuanceRateLimiter:
    """What may be ordered now. A budget is kept for those domains alone that used some."""

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
        if budget is None:
            budget = TokenBucket(self._per_domain / self._window_seconds, self._per_domain, now)
        self._accounts[account] = budget
        while len(self._accounts) > 1:
            oldest, bucket = next(iter(self._accounts.items()))
            # A budget that has recovered is the same as none; beyond the bound the oldest goes.
            if not bucket.is_full(now) and len(self._accounts) <= MAX_ACCOUNTS:
                break
            del self._accounts[oldest]
        return budget


class RateLimitedIssuer:
    """An issuer that asks a CA only while the allowance lasts."""

    def __init__(self, issuer: Issuer, rate_limiter: IssuanceRateLimiter) -> None:
        self._issuer = issuer
        self._rate_limiter = rate_limiter
        self.name: str = issuer.name

    async def issue(self, order: Order) -> Material:
        """Return what is there already, or count the order and place it.

        Raises ``Fault``, ``IssuanceRateExceeded`` among them.
        """
        if order.account and order.replaces is None:
            if isinstance(self._issuer, FindsExisting):
                found = await self._issuer.find(order)
                if found is not None:
                    return found
            self._rate_limiter.spend(order.account)
        return await self._issuer.issue(order)

    async def advise(self, material: Material) -> RenewalAdvice | None:
        """Ask the issuer within when to renew."""
        return await advise(self._issuer, material)
