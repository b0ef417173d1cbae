"""Credits of tenants' rate limits: what modules may spend is leased from the tenant's bucket.

Every look at a slot gives back what is left of its lease and takes a new one, of what the tenant
spends in a few looks. So a tenant's requests are charged to its one bucket, whoever lets them
pass, and together they are never more than the limit: what is leased is spent in the bucket, and
what nobody uses stands ready without the bucket being full beside it.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from sidecar.decision_cache.protocol import MAX_CREDITS

LOOKS_AHEAD = 4
"""A lease is what was spent lately between so many looks."""
DECAY = 0.9
_BURST_PARTS = 50
"""A tenant that sends nothing keeps this part of its burst ready."""
MAX_LEASE = 1_000_000
MAX_OVERSPENT = 1024
"""The most that threads which were just spending can overspend where a grant falls."""
IDLE_LOOKS = 64
"""How many slots are looked at in one turn of which nothing was spent."""
_MAX_WORD = (1 << 64) - 1


class TenantLeases(Protocol):
    """What is asked of the rate limiter; ``limits.limiter.RateLimiter`` is one."""

    def burst_of(self, tenant: str) -> int:
        """Return how many requests of a tenant may pass at once."""

    def lease(self, tenant: str, now_ns: int, count: int, unspent: int = 0) -> int:
        """Give back what was not spent, and spend up to ``count``; return how many."""


class _Slot:
    """One tenant's credit. ``granted`` and ``spent`` are totals."""

    __slots__ = ("granted", "pace", "spent", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.granted = 0
        self.spent = 0
        self.pace = 0.0
        """What is spent between two looks, at its highest lately."""


class TenantCredits:
    """A ``CreditPolicy``: a slot for each tenant, of the first ``MAX_CREDITS`` tenants.

    A slot stays its tenant's for as long as the process runs, for an Envoy may remember it; the
    requests of later tenants are asked for. ``now_ns`` is the limiter's clock. ``on_slot`` may be
    set; it hears of each slot that is given.
    """

    slots = MAX_CREDITS

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.limiter: TenantLeases | None = None
        """Set once Checks are counted; before that nothing is granted."""
        self.on_slot: Callable[[str, int], None] = lambda _tenant, _slot: None
        self._now_ns = now_ns
        self._numbers: dict[str, int] = {}
        self._slots: list[_Slot] = []
        self._next_idle = 0

    def __len__(self) -> int:
        """Count the tenants that have a slot."""
        return len(self._slots)

    def slot_of(self, tenant_id: str) -> int | None:
        """Return the tenant's slot, a new one if it has none; ``None`` if all are given."""
        number = self._numbers.get(tenant_id)
        if number is None:
            if len(self._slots) >= self.slots:
                return None
            number = self._numbers[tenant_id] = len(self._slots)
            self._slots.append(_Slot(tenant_id))
            self.on_slot(tenant_id, number)
        return number

    def due(self, spent: memoryview) -> Iterable[int]:
        """Return the slots of which something was spent, and a few of the others in turn."""
        words = spent[: len(self._slots)].tolist()
        due = {
            number
            for number, (word, slot) in enumerate(zip(words, self._slots, strict=True))
            if word != slot.spent
        }
        if self._next_idle >= len(words):
            self._next_idle = 0
        idle = range(self._next_idle, len(words))
        due.update(islice(idle, IDLE_LOOKS))
        self._next_idle += IDLE_LOOKS
        return due

    def grant(self, slot: int, spent: int) -> int:
        """Renew the lease of a slot; return the total that is granted.

        ``spent`` comes from outside. It never falls, and what is no word of a module can use up
        its tenant's bucket, and no future of it.
        """
        held = self._slots[slot]
        limiter = self.limiter
        if limiter is None:
            return held.granted
        spent = max(spent, held.spent)
        held.pace = max(spent - held.spent, held.pace * DECAY)
        held.spent = spent
        ready = max(1, limiter.burst_of(held.tenant) // _BURST_PARTS)
        wanted = min(MAX_LEASE, ready + round(LOOKS_AHEAD * held.pace))
        unspent = max(-MAX_OVERSPENT, held.granted - spent)
        leased = limiter.lease(held.tenant, self._now_ns(), wanted, unspent)
        held.granted = min(_MAX_WORD, spent + leased)
        return held.granted
