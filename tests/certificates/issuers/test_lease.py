"""The lease of an order: who has it, for how long by Vault's clock, and what a failure leaves.

Ten sidecars with a real OpenBao: ``test_shared.py``.
"""

from typing import Any

import pytest

from sidecar.certificates.issuers.lease import FleetFault, Leases, OrderLease
from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultUnreachable
from tests.support.fleet_kv import MemoryKv, take_lease
from tests.support.waiting import until

PATH = "leases/a"
SECONDS = 60.0
WEEK = 7 * 86_400.0


@pytest.fixture
def kv() -> MemoryKv:
    return MemoryKv()


def leases(kv: MemoryKv, holder: str = "one") -> Leases:
    return Leases(kv, "secret", holder=holder, seconds=SECONDS)


async def take(kv: MemoryKv, holder: str = "one") -> OrderLease:
    taken = await take_lease(leases(kv, holder), PATH)
    assert taken is not None
    return taken


async def test_one_has_it_until_it_ends(kv: MemoryKv, caplog: pytest.LogCaptureFixture) -> None:
    assert await take(kv) == OrderLease(PATH, 1, 0)
    kv.now += SECONDS - 0.1
    assert await take_lease(leases(kv, "two"), PATH) is None
    assert caplog.text == ""
    kv.now += 0.1
    assert await take(kv, "two") == OrderLease(PATH, 2, 0)
    assert "took over the lease leases/a" in caplog.text
    assert kv.data(PATH)["holder"] == "two"


async def test_one_that_is_returned_may_be_taken_at_once(kv: MemoryKv) -> None:
    await leases(kv).give_back(await take(kv), None, 0.0)
    assert await take(kv, "two") == OrderLease(PATH, 3, 0), "the entry is written, not removed"


async def test_of_two_that_write_at_once_one_has_it(kv: MemoryKv) -> None:
    other = {"holder": "two", "seconds": SECONDS, "failures": 0}

    def another_writes() -> None:
        if not kv.entries:
            kv.put(PATH, other)

    kv.on_write = another_writes
    assert await take_lease(leases(kv), PATH) is None
    assert kv.data(PATH) == other


async def test_after_a_failure_the_fleet_waits_and_says_why(kv: MemoryKv) -> None:
    await leases(kv).give_back(await take(kv), Fault("out of ink"), 0.0)
    for _ in range(2):
        with pytest.raises(
            FleetFault, match=r"failed 1 time\(s\) in the fleet: out of ink"
        ) as wait:
            await take_lease(leases(kv, "two"), PATH)
        assert wait.value.retryable
    pause = wait.value.retry_after_seconds
    assert pause is not None
    kv.now += pause - 0.1
    with pytest.raises(FleetFault):
        await take_lease(leases(kv, "two"), PATH)
    kv.now += 0.1
    again = await take(kv, "two")
    assert again.failures == 1
    await leases(kv, "two").give_back(again, Fault("still"), 0.0)
    assert kv.data(PATH)["failures"] == 2


async def test_a_success_forgets_the_failures(kv: MemoryKv) -> None:
    await leases(kv).give_back(await take(kv), Fault("no"), 0.0)
    kv.now += 3600
    await leases(kv).give_back(await take(kv), None, 0.0)
    assert kv.data(PATH) == {"holder": "", "seconds": 0.0, "failures": 0}


ASKED = [(None, 10.0), (5000.0, 5000.0), (WEEK, WEEK), (10 * WEEK, WEEK)]


@pytest.mark.parametrize(("asked", "pause"), ASKED)
async def test_a_cas_wait_is_the_fleets_up_to_a_week(
    kv: MemoryKv, asked: float | None, pause: float
) -> None:
    fault = Fault("x" * 1000)
    fault.retry_after_seconds = asked
    await leases(kv).give_back(await take(kv), fault, 0.0)
    assert kv.data(PATH)["seconds"] == pause
    assert len(kv.data(PATH)["fault"]) == 300
    with pytest.raises(FleetFault) as wait:
        await take_lease(leases(kv), PATH)
    assert wait.value.retry_after_seconds == pause


WRITTEN: list[tuple[str, dict[str, Any], OrderLease | None]] = [
    ("nothing of ours", {"password": "x"}, OrderLease(PATH, 2, 0)),
    ("no number of seconds", {"holder": "x", "seconds": "soon"}, OrderLease(PATH, 2, 0)),
    ("a time that is none", {"holder": "x", "seconds": float("nan")}, OrderLease(PATH, 2, 0)),
    ("a negative time", {"holder": "x", "seconds": -1.0}, OrderLease(PATH, 2, 0)),
    ("an endless time", {"holder": "x", "seconds": float("inf")}, None),
    ("failures that are none", {"seconds": 0, "failures": "many"}, OrderLease(PATH, 2, 0)),
    ("fewer than none", {"seconds": 0, "failures": -3}, OrderLease(PATH, 2, 0)),
    ("some", {"seconds": 0, "failures": 3}, OrderLease(PATH, 2, 3)),
]


@pytest.mark.parametrize(("data", "lease"), [w[1:] for w in WRITTEN], ids=[w[0] for w in WRITTEN])
async def test_what_stands_there_is_read_with_care(
    kv: MemoryKv, data: dict[str, Any], lease: OrderLease | None
) -> None:
    kv.put(PATH, data)
    assert await take_lease(leases(kv), PATH) == lease


async def test_an_endless_lease_ends_after_a_week(kv: MemoryKv) -> None:
    kv.put(PATH, {"holder": "x", "seconds": float("inf")})
    kv.now += WEEK
    assert await take(kv) == OrderLease(PATH, 2, 0)


async def test_returning_it_never_raises(kv: MemoryKv, caplog: pytest.LogCaptureFixture) -> None:
    taken = await take(kv)
    kv.away = True
    await leases(kv).give_back(taken, None, 0.0)
    assert "could not be returned and will expire" in caplog.text
    kv.away = False
    kv.now += SECONDS
    await take(kv, "two")
    await leases(kv).give_back(taken, None, 0.0)
    assert "was not ours any more at the end of the order" in caplog.text
    assert kv.data(PATH)["holder"] == "two", "the other's lease is not ended"


async def test_taking_it_raises_what_vault_says(kv: MemoryKv) -> None:
    kv.away = True
    with pytest.raises(VaultUnreachable):
        await take_lease(leases(kv), PATH)


async def test_who_waits_asks_for_vaults_clock_once(kv: MemoryKv) -> None:
    """A refresh is no older than the look before; what is not refreshed ages by our clock."""
    taken = await take(kv)
    clock = [0.0]
    watch = leases(kv, "two").watch(PATH, lambda: clock[0])
    kv.now += 10
    for _ in range(3):
        assert await watch.look() is None
    assert kv.times == 1
    refreshed = await leases(kv)._write(taken)
    clock[0] += SECONDS - 11
    assert await watch.look() is None
    clock[0] += SECONDS - 1
    assert await watch.look() is None
    clock[0] += 1
    assert await watch.look() == refreshed
    assert kv.times == 1


async def test_a_lease_that_somebody_held_since_it_was_seen_is_not_claimed(kv: MemoryKv) -> None:
    free = await leases(kv).watch(PATH, lambda: 0.0).look()
    assert free == OrderLease(PATH, 0, 0)
    await leases(kv, "two").give_back(await take(kv, "two"), None, 0.0)
    assert await leases(kv).claim(free) is None


async def test_a_lease_is_refreshed_as_long_as_the_order_runs(kv: MemoryKv) -> None:
    short = Leases(kv, "secret", holder="one", seconds=0.05)
    taken = await take_lease(short, PATH)
    assert taken is not None
    async with short.refreshed(taken) as held:
        await until(lambda: held.lease.version >= taken.version + 4)
        assert kv.data(PATH) == {"holder": "one", "seconds": 0.05, "failures": 0}
        assert await take_lease(leases(kv, "two"), PATH) is None
    version = held.lease.version
    await short.give_back(held.lease, None, 0.0)
    assert kv.entries[PATH].version == version + 1, "no refresh comes after the end"
    assert kv.data(PATH)["holder"] == ""


async def test_a_refresh_that_fails_is_made_again(
    kv: MemoryKv, caplog: pytest.LogCaptureFixture
) -> None:
    short = Leases(kv, "secret", holder="one", seconds=0.05)
    taken = await take_lease(short, PATH)
    assert taken is not None
    async with short.refreshed(taken) as held:
        kv.away = True
        await until(lambda: "is not refreshed" in caplog.text)
        assert held.lease == taken
        kv.away = False
        await until(lambda: held.lease.version > taken.version)


async def test_one_that_was_taken_over_is_refreshed_no_more(
    kv: MemoryKv, caplog: pytest.LogCaptureFixture
) -> None:
    """The holder was frozen for longer than its lease; its order goes on, for itself alone."""
    short = Leases(kv, "secret", holder="one", seconds=0.05)
    taken = await take_lease(short, PATH)
    assert taken is not None
    kv.now += 1.0
    second = await take(kv, "two")
    async with short.refreshed(taken) as held:
        await until(lambda: "was taken over by another sidecar" in caplog.text)
        assert held.lease == taken
    await short.give_back(held.lease, None, 0.0)
    assert kv.entries[PATH].version == second.version


async def test_our_lease_of_which_the_answer_was_lost_is_ours_to_take_again(kv: MemoryKv) -> None:
    ours = leases(kv)
    kv.loses_answers = True
    with pytest.raises(VaultUnreachable):
        await take_lease(ours, PATH)
    kv.loses_answers = False
    assert kv.data(PATH)["holder"] == "one"
    assert await take_lease(leases(kv, "two"), PATH) is None, "another can't know"
    assert await take_lease(leases(kv), PATH) is None, "nor who has our name and did not ask"
    assert await take_lease(ours, PATH) == OrderLease(PATH, 2, 0)
    assert await take_lease(ours, PATH) is None, "it is under way now"


async def test_a_claim_that_vault_makes_late_is_ours_to_take_again(kv: MemoryKv) -> None:
    ours = leases(kv)
    kv.away = True
    with pytest.raises(VaultUnreachable):
        await ours.claim(OrderLease(PATH, 0, 0))
    kv.away = False
    free = await ours.watch(PATH, lambda: 0.0).look()
    assert free == OrderLease(PATH, 0, 0)
    kv.put(PATH, {"holder": "one", "seconds": SECONDS, "failures": 0})
    assert await ours.claim(free) is None
    assert await take_lease(ours, PATH) == OrderLease(PATH, 2, 0)


@pytest.mark.parametrize("late", [False, True], ids=["not at all", "after a late refresh"])
async def test_a_lease_that_could_not_be_returned_is_ours_to_take_again(
    kv: MemoryKv, late: bool
) -> None:
    ours = leases(kv)
    taken = await take_lease(ours, PATH)
    assert taken is not None
    if late:
        await ours._write(taken)
    kv.away = not late
    await ours.give_back(taken, None, 0.0)
    kv.away = False
    assert kv.data(PATH)["holder"] == "one"
    assert await take_lease(ours, PATH) is not None


async def test_a_lease_of_another_is_not_ours_to_take_whatever_was_lost(kv: MemoryKv) -> None:
    ours = leases(kv)
    kv.away = True
    with pytest.raises(VaultUnreachable):
        await ours.claim(OrderLease(PATH, 0, 0))
    kv.away = False
    await take(kv, "two")
    assert await take_lease(ours, PATH) is None


async def test_a_long_outage_with_many_names_is_remembered_to_a_bound(kv: MemoryKv) -> None:
    ours = leases(kv)
    kv.away = True
    for number in range(3000):
        with pytest.raises(VaultUnreachable):
            await ours.claim(OrderLease(f"leases/{number}", 0, 0))
    assert 0 < len(ours._unsure) <= 1024
