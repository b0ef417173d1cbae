"""Credits: how many requests Envoy may repeat before it asks again.

A rate limit holds although the sidecar is not asked: what it grants a tenant, all Envoys together
may spend, and then they ask. ``CreditPolicy`` is all that a limit must say.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from sidecar.decision_cache.memory import SharedMemory
from sidecar.decision_cache.protocol import CREDIT_STRIDE, NO_CREDIT, SPENT_OFFSET, WORD_BYTES

_WORDS = CREDIT_STRIDE // WORD_BYTES
_SPENT = SPENT_OFFSET // WORD_BYTES


class CreditSlots(Protocol):
    """Says in which slot a tenant's requests are counted, in each process that answers Checks."""

    def slot_of(self, tenant_id: str) -> int | None:
        """Return the tenant's slot, or ``NO_CREDIT`` where no limit counts its requests.

        ``None``: there is none for it, so its requests are asked for.
        """


class CreditPolicy(CreditSlots, Protocol):
    """Says how far each slot may be spent, in the process that grants."""

    slots: int
    """How many slots there are; 0 where nothing is limited."""

    def due(self, spent: memoryview) -> Iterable[int]:
        """Return the slots to look at now; ``spent`` has the word of every slot."""

    def grant(self, slot: int, spent: int) -> int:
        """Return the total that is granted, after ``spent`` was spent.

        It falls only where a limit grants less than before.
        """


class WithoutLimits:
    """Grants without bound: nothing is counted, and Envoy pays nothing for it."""

    slots = 0

    def slot_of(self, tenant_id: str) -> int:  # noqa: ARG002 - the same for all
        """Return ``NO_CREDIT``."""
        return NO_CREDIT

    def due(self, spent: memoryview) -> Iterable[int]:  # noqa: ARG002 - there are no slots
        """Return no slot."""
        return ()

    def grant(self, slot: int, spent: int) -> int:  # noqa: ARG002 - there are no slots
        """Return all that was spent: there is no slot to grant anything in."""
        return spent


class KnownSlots:
    """The slots that the main process has given to tenants, as a worker knows them.

    A tenant's first requests are asked for: it gets its slot once the worker has reported them.
    """

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}

    def slot_of(self, tenant_id: str) -> int | None:
        """Return the tenant's slot; ``None`` until there is one."""
        return self._slots.get(tenant_id)

    def learn(self, slots: Mapping[str, int]) -> None:
        """Take slots that were given to tenants."""
        self._slots.update(slots)


def grant_all(memory: SharedMemory, policy: CreditPolicy) -> None:
    """Grant what the policy says. ``spent`` is the modules' word, ``granted`` ours."""
    words = memory.words
    spent = words[_SPENT : policy.slots * _WORDS : _WORDS]
    for slot in policy.due(spent):
        words[slot * _WORDS] = policy.grant(slot, spent[slot])
