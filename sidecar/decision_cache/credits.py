"""Credits: how many requests Envoy may repeat before it asks again.

A rate limit holds although the sidecar is not asked: what it grants a tenant, all Envoys together
may spend, and then they ask. ``CreditPolicy`` is all that a limit must say.
"""

from typing import Protocol

from sidecar.decision_cache.memory import SharedMemory
from sidecar.decision_cache.protocol import CREDIT_STRIDE, NO_CREDIT, SPENT_OFFSET, WORD_BYTES

_WORDS = CREDIT_STRIDE // WORD_BYTES
_SPENT = SPENT_OFFSET // WORD_BYTES


class CreditPolicy(Protocol):
    """Says which slot a tenant's requests are counted in, and how far each may be spent."""

    slots: int
    """How many slots there are; 0 where nothing is limited."""

    def slot_of(self, tenant_id: str) -> int:
        """Return the tenant's slot, or ``NO_CREDIT`` where no limit counts its requests."""

    def grant(self, slot: int, spent: int) -> int:
        """Return the total that is granted, after ``spent`` was spent. It never falls."""


class WithoutLimits:
    """Grants without bound: nothing is counted, and Envoy pays nothing for it."""

    slots = 0

    def slot_of(self, tenant_id: str) -> int:  # noqa: ARG002 - the same for all
        """Return ``NO_CREDIT``."""
        return NO_CREDIT

    def grant(self, slot: int, spent: int) -> int:  # noqa: ARG002 - there are no slots
        """Return all that was spent: there is no slot to grant anything in."""
        return spent


def grant_all(memory: SharedMemory, policy: CreditPolicy) -> None:
    """Grant what the policy says, in every slot. ``spent`` is the modules', ``granted`` ours."""
    words = memory.words
    for slot in range(policy.slots):
        at = slot * _WORDS
        words[at] = max(words[at], policy.grant(slot, words[at + _SPENT]))
