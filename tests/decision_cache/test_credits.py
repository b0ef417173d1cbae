"""Credits: what a limit grants may be spent by all Envoys together."""

import os
from collections.abc import Iterable
from pathlib import Path

from sidecar.decision_cache.credits import KnownSlots, WithoutLimits, grant_all
from sidecar.decision_cache.memory import make_memory
from sidecar.decision_cache.protocol import NO_CREDIT
from tests.decision_cache.served import Served
from tests.decision_cache.test_ring import Sink
from tests.support.minting import TENANT


class Ten:
    """Grants ten at a time, in the second of two slots."""

    slots = 2
    seen: list[int]

    def slot_of(self, tenant_id: str) -> int:
        return int(tenant_id == "acme")

    def due(self, spent: memoryview) -> Iterable[int]:
        self.seen = spent.tolist()
        return (1,)

    def grant(self, slot: int, spent: int) -> int:
        return spent + 10 * slot


async def test_credit_is_granted_by_the_policy_where_it_is_due(tmp_path: Path) -> None:
    policy = Ten()
    served = Served(tmp_path, policy=policy, sink=Sink())
    _, welcome = await served.lease()

    def words() -> list[int]:
        raw = os.pread(welcome.credit, 256, 0)
        return [int.from_bytes(raw[at : at + 8], "little") for at in (0, 64, 128, 192)]

    served.leases.grant_credits()
    assert words() == [0, 0, 10, 0]
    os.pwrite(welcome.credit, (7).to_bytes(8, "little"), 192)
    served.leases.grant_credits()
    assert words() == [0, 0, 17, 7]
    assert policy.seen == [0, 7]
    served.close()


def test_without_limits_nothing_is_counted() -> None:
    policy, memory = WithoutLimits(), make_memory("credit", 4096)
    assert (policy.slots, policy.slot_of(TENANT), policy.grant(0, 5)) == (0, NO_CREDIT, 5)
    grant_all(memory, policy)
    assert not any(memory.words)


def test_a_worker_knows_the_slots_that_it_was_told() -> None:
    known = KnownSlots()
    assert known.slot_of(TENANT) is None
    known.learn({TENANT: 0})
    known.learn({"other": 5})
    assert (known.slot_of(TENANT), known.slot_of("other")) == (0, 5)
