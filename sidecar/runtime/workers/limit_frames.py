"""The frames of rate limits, and of the decision cache's leases and credit, which count by them."""

from typing import Annotated

import msgspec

from sidecar.limits.buckets import Share, SpendReport
from sidecar.limits.sharing import MAX_REPORTS
from sidecar.runtime.workers.framing import Frame


class LimitsState(Frame, frozen=True, tag="limits"):
    """To a worker: what limits depend on besides the settings.

    ``secret`` is the key under which logins are hashed; the shares are those of buckets that are
    asked for the first time.
    """

    secret: bytes
    new_share: float
    new_strict_share: float


class TenantRate(msgspec.Struct, frozen=True, array_like=True):
    """A tenant's own rate limit."""

    requests: int
    per_seconds: int
    burst: int
    shadow: bool


class TenantLimitsFrame(Frame, frozen=True, tag="tenant_rates"):
    """To a worker: some tenants' own limits, in force from the next Check on.

    ``None`` is for a tenant that has none any more. Of many tenants each frame has a few, so that
    a worker answers Checks between them.
    """

    rates: dict[str, TenantRate | None]


class LimitsShares(Frame, frozen=True, tag="limits_shares"):
    """To a worker: what it may spend of the buckets of its last ``LimitsUsed``.

    ``at_ns`` is when that was so, by the monotonic clock that processes of one machine share.
    """

    at_ns: int
    shares: tuple[Share, ...]


class LimitsUsed(Frame, frozen=True, tag="limits_used"):
    """From a worker: what was asked of its buckets since it reported before, at ``since_ns``."""

    since_ns: int
    reports: Annotated[tuple[SpendReport, ...], msgspec.Meta(max_length=MAX_REPORTS)]


class LeasesHeld(Frame, frozen=True, tag="leases"):
    """To a worker: whether any Envoy holds a lease, so that answers carry what it must remember."""

    held: bool


class CreditSlotsFrame(Frame, frozen=True, tag="credit_slots"):
    """To a worker: tenants that were given a slot of the credit memory, and which."""

    slots: dict[str, int]
