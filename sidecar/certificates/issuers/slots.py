"""How many orders of one issuer are under way at once, by what they are for.

There is no bound that issuers share: an issuer that hangs fills its own slots. Nor do purposes
share one: the renewals of what is served wait for no name that a stranger asked for. Waiting
for another sidecar's lease holds no slot (``shared``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import StrEnum

from sidecar.certificates.issuers.base import Order
from sidecar.common.lanes import lane


class Purpose(StrEnum):
    """What an order is for."""

    FIRST = "first"
    """A configured certificate that is not served yet."""
    RENEWAL = "renewal"
    """In place of one that is served."""
    ON_DEMAND = "on_demand"
    """A name that a handshake asked for."""


SLOTS = {Purpose.FIRST: 64, Purpose.RENEWAL: 64, Purpose.ON_DEMAND: 256}
"""Orders at once. One that waits for its CA is a task and a few kilobytes; what is scarce, the
threads of calls, has bounds of its own (``common.lanes``)."""


def purpose_of(order: Order) -> Purpose:
    """Return what an order is for; a renewal of a name on demand is a renewal."""
    if order.replaces is not None:
        return Purpose.RENEWAL
    return Purpose.ON_DEMAND if order.account else Purpose.FIRST


class OrderSlots:
    """The slots of one issuer."""

    def __init__(self) -> None:
        self._slots = {purpose: asyncio.Semaphore(count) for purpose, count in SLOTS.items()}
        self._held = dict.fromkeys(Purpose, 0)

    def __iter__(self) -> Iterator[tuple[Purpose, int]]:
        """Iterate over the purposes and how many slots of each are held."""
        yield from self._held.items()

    @asynccontextmanager
    async def hold(self, order: Order) -> AsyncIterator[None]:
        """Wait for a slot and hold it; the blocking calls inside use the purpose's threads."""
        purpose = purpose_of(order)
        async with self._slots[purpose]:
            self._held[purpose] += 1
            try:
                with lane(purpose):
                    yield
            finally:
                self._held[purpose] -= 1
