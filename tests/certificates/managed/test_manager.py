"""When certificates are obtained, renewed and taken out of service, with a clock that obeys."""

import asyncio

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import (
    HAND_PAUSE_SECONDS,
    HandOrder,
    ManagedCertificate,
)
from sidecar.certificates.managed.obtaining import CertificateFault
from sidecar.common.errors import Fault
from tests.support.managed_world import WANTED, World

DAY = 86_400.0


async def test_a_certificate_is_renewed_at_two_thirds_of_an_hour() -> None:
    world = World()
    await world.manager.obtain_all()
    await world.run_until(2399.0)
    assert world.issued == 1
    await world.run_until(2401.0)
    assert world.issued == 2


async def test_a_failed_renewal_displaces_nothing_and_expiry_ends_it() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    await world.run_until(3590.0)
    assert world.manager.failures > 5
    world.now = 3599.0
    assert world.serial == "1"
    world.now = 3600.0
    assert world.serial is None


async def test_a_renewal_succeeds_when_vault_is_back() -> None:
    world = World()
    await world.manager.obtain_all()
    await world.fail_until(3000.0)
    assert world.serial == "2"


async def test_expiry_is_announced_when_it_happens_and_a_late_success_too() -> None:
    world = World()
    await world.manager.obtain_all()
    world.announced.clear()
    await world.fail_until(4000.0)
    ended, renewed = world.announced
    assert ended == 3600.0
    assert renewed >= 4000.0
    assert world.serial == "2"


async def test_a_ca_with_short_lives_is_asked_at_most_every_ten_seconds() -> None:
    world = World()
    world.life_seconds = 2.0
    await world.manager.obtain_all()
    await world.run_until(1000.0)
    assert world.attempts <= 102


async def test_a_defect_with_one_certificate_ends_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = WANTED._replace(name="other")
    world = World(WANTED, other)
    await world.manager.obtain_all()
    world.failing = ZeroDivisionError("a defect")
    await world.run_until(10_000.0)
    assert world.store.get("edge") is None
    assert world.store.get("other") is not None
    assert world.manager.failures > 0
    assert any(record.exc_info for record in caplog.records)


async def test_a_certificate_missing_at_the_start_is_obtained_later() -> None:
    world = World()
    await world.run_until(1.0)
    assert world.serial is not None


async def test_a_start_without_certificate_names_it_and_its_issuer() -> None:
    world = World()
    world.failing = Fault("Vault is away")
    with pytest.raises(CertificateFault) as fault:
        await world.manager.obtain_all()
    assert str(fault.value) == "certificate 'edge', issuer 'internal': Vault is away"


async def test_a_start_without_a_thousand_gives_up_early() -> None:
    names = [WANTED._replace(name=f"c{number}") for number in range(1000)]
    world = World(*names)
    world.failing = Fault("Vault is away")
    with pytest.raises(CertificateFault, match=r"'c0'.*'c4'"):
        await world.manager.obtain_all()
    assert world.attempts < 20


async def test_each_level_is_reported_once_and_so_is_the_renewal() -> None:
    world = World()
    await world.manager.obtain_all()
    await world.fail_until(5000.0)
    assert [level for level, _ in world.levels] == ["warning", "critical", "ended", "fresh"]
    warned, critical, ended = (at for _, at in world.levels[:3])
    assert warned == pytest.approx(2400 + 600, abs=1)
    assert critical == pytest.approx(2400 + 1080, abs=1)
    assert ended == 3600


async def test_a_retry_after_is_kept_and_levels_are_reported_meanwhile() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("rateLimited")
    world.failing.retry_after_seconds = 1100.0
    await world.run_until(3590.0)
    assert world.attempts == 3, "the first certificate, and two tries 1100 seconds apart"
    assert [level for level, _ in world.levels] == ["warning", "critical"]


async def test_a_certificate_renewed_by_hand_is_replaced_at_once_when_it_is_revoked() -> None:
    """The pause between orders by hand is counted apart for renewing and for revoking."""
    world = World()
    await world.manager.obtain_all()
    managed = world.manager.get("edge")
    assert managed is not None
    assert world.manager.renew_by_hand("edge") == 0.0
    assert world.manager.renew_by_hand("edge") == 0.0, "it is on its way"
    await world.manager._obtain(managed)
    assert world.manager.renew_by_hand("edge") == HAND_PAUSE_SECONDS
    for pause in (0.0, HAND_PAUSE_SECONDS):
        world.manager.revoked_by_hand("edge")
        assert world.serial is None
        assert managed.try_at == pause, "CAs count them: one a minute"
        await world.manager._obtain(managed)
        assert world.serial is not None


def outage() -> Fault:
    made = Fault("Vault is away")
    made.is_outage = True
    return made


async def long_failing(fault: Fault) -> tuple[World, ManagedCertificate]:
    """Return a world whose certificate has failed so often that its pauses are long."""
    world = World()
    world.life_seconds = 90 * DAY
    await world.manager.obtain_all()
    managed = world.manager.get("edge")
    assert managed is not None
    world.failing, managed.failures = fault, 12
    return world, managed


async def test_an_order_by_hand_comes_soon_after_vault_however_long_that_was_away() -> None:
    world, managed = await long_failing(outage())
    for _ in range(5):
        assert world.manager.renew_by_hand("edge") == 0.0
    tried = world.attempts
    await world.run_until(world.now + 600.0)
    assert 15 <= world.attempts - tried <= 75, "every ten seconds, by a clock of coarse steps"
    world.failing, back = None, world.now
    await world.run_until_issued(2)
    assert world.now - back <= 40.0
    assert managed.by_hand is HandOrder.NONE


async def test_an_order_by_hand_follows_one_that_began_before_and_failed() -> None:
    world, managed = await long_failing(Fault("refused"))
    tried, world.stuck = world.attempts, asyncio.Event()
    world.manager.renew_soon("edge")
    loop = asyncio.create_task(world.manager.keep_fresh())
    while world.attempts == tried:
        await asyncio.sleep(0)
    assert world.manager.renew_by_hand("edge") == 0.0
    asked = world.now
    world.stuck.set()
    while world.attempts < tried + 2:
        await asyncio.sleep(0)
    assert world.now - asked <= 60.0, "at once, by a clock of coarse steps"
    while managed.running:
        await asyncio.sleep(0)
    assert managed.by_hand is HandOrder.NONE
    assert managed.try_at > world.now + 1000.0, "and then as any other"
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_revoked_certificate_is_not_served_and_is_replaced_at_once() -> None:
    world = World()
    await world.manager.obtain_all()
    world.manager.revoked("edge")
    assert world.store.get("edge") is None
    world.manager.revoked("nobody")
    await world.run_until_issued(2)
    assert world.serial not in {None, "1"}
    assert world.replaced[:2] == [None, "1"], "the revoked one is not taken again"


async def test_a_revoked_certificate_without_a_replacement_is_not_served() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    world.manager.revoked("edge")
    await world.run_until(3000.0)
    assert world.serial is None
    assert world.manager.failures > 3


async def test_a_name_obtained_on_demand_is_renewed_until_it_is_forgotten() -> None:
    world = World()
    order = Order("shop.example", ("shop.example",))
    await world.manager.obtain(order, world)
    await world.run_until(2500.0)
    assert world.names.count("shop.example") == 2, "it is renewed"
    world.manager.forget("shop.example")
    assert world.store.get("shop.example") is None
    assert world.manager.get("shop.example") is None
    await world.run_until(world.now + 9000.0)
    assert world.names.count("shop.example") == 2
    assert world.names.count("edge") > 2


async def test_names_that_come_and_go_leave_nothing_behind() -> None:
    world = World()
    await world.manager.obtain_all()
    for number in range(500):
        name = f"shop{number % 10}.example"
        await world.manager.obtain(Order(name, (name,)), world)
        world.manager.forget(name)
    assert len(world.manager._schedule) < 100, "an entry holds a key"
    world.life_seconds = 3600.0
    first = world.serial
    await world.run_until(2500.0)
    assert world.serial != first, "and what is kept is still renewed"


async def test_a_name_that_could_not_be_obtained_is_not_kept() -> None:
    world = World()
    world.failing = Fault("no")
    order = Order("shop.example", ("shop.example",))
    with pytest.raises(CertificateFault):
        await world.manager.obtain(order, world)
    assert world.manager.get("shop.example") is None


async def test_a_slow_ca_delays_no_other_certificate() -> None:
    other = WANTED._replace(name="other")
    world = World(WANTED, other)
    await world.manager.obtain_all()
    world.stuck = asyncio.Event()
    await world.run_until(2500.0)
    assert world.issued == 3, "the other was renewed while the first one hangs"


async def test_an_order_that_needs_the_edge_is_found_or_delayed() -> None:
    world = World()
    world.edge_seconds = 20.0
    await world.manager.obtain_all()
    assert (world.issued, world.serial) == (0, None)
    await world.run_until(21.0)
    assert world.serial == "1"
    restarted = World()
    restarted.edge_seconds = 20.0
    restarted.there = world.store.get("edge")
    await restarted.manager.obtain_all()
    assert (restarted.issued, restarted.serial) == (0, "1")


async def test_a_name_forgotten_while_it_is_ordered_is_not_served() -> None:
    world = World()
    await world.manager.obtain_all()
    world.stuck = asyncio.Event()
    renewing = asyncio.create_task(world.manager.obtain(WANTED, world))
    while world.attempts < 2:
        await asyncio.sleep(0)
    world.manager.forget("edge")
    world.stuck.set()
    await renewing
    assert world.serial is None
    assert world.manager.get("edge") is None


async def test_what_is_revoked_again_and_again_is_not_ordered_without_end() -> None:
    world = World()
    world.life_seconds = 90 * DAY
    await world.manager.obtain_all()
    for moment in range(0, 600, 5):
        world.manager.revoked("edge")
        await world.run_until(moment + 5.0)
        if moment == 0:
            assert world.issued == 2, "the first is replaced at once"
    assert 5 <= world.issued <= world.now / 60.0 + 2.0


async def test_a_clock_that_jumps_ahead_is_noticed_within_a_minute() -> None:
    """After a suspend the loop's own clock has not gone on; the wall's has."""
    world = World()
    world.life_seconds = 90 * DAY
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    await world.run_until(10.0)
    world.announced.clear()
    slept = len(world.slept)
    world.now += 100 * DAY
    since = world.now
    await world.run_until(since + 1.0)
    assert max(world.slept[:slept]) <= 60.0
    assert world.announced, "the end is announced, and Envoy told"
    assert world.announced[0] <= since + 60.0
    assert world.serial is None
