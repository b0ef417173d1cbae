"""The issuers of names on demand, each within its own limits, which outlive a reload."""

from typing import TypedDict

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateLimiter, RateLimitedIssuer
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model


class IssuanceRates(TypedDict):
    """The numbers of ``IssuanceRateLimiter``."""

    orders_per_minute: float
    burst: int
    orders_per_domain: int
    domain_window_seconds: float


class LimitedIssuers:
    """Limits the rate of every issuer for itself, except Vault KV's, who only read.

    So names whose CA hangs, and that are tried again and again, use up no other CA's rate. An
    issuer of the same name goes on with what it has ordered.
    """

    def __init__(self) -> None:
        self._limiters: dict[str, IssuanceRateLimiter] = {}

    def limit(self, issuers: Issuers, settings: model.OnDemandSettings) -> Issuers:
        """Return issuers that order within the limits of the settings."""
        rates = issuance_rates(settings)
        names = [each.name for each in issuers]
        self._limiters = {
            name: self._limiters.get(name) or IssuanceRateLimiter(**rates, clock=monotonic_seconds)
            for name in names
        }
        for limiter in self._limiters.values():
            limiter.use(**rates)
        return Issuers(
            {
                each.name: each
                if isinstance(each, KvIssuer)
                else RateLimitedIssuer(each, self._limiters[each.name])
                for each in issuers
            }
        )


def issuance_rates(settings: model.OnDemandSettings) -> IssuanceRates:
    """Return the rates of one issuer."""
    return IssuanceRates(
        orders_per_minute=settings.orders_per_minute,
        burst=settings.orders_burst,
        orders_per_domain=settings.orders_per_domain,
        domain_window_seconds=settings.domain_window_seconds,
    )
